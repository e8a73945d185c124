-- The third act: the payment provider, and a person who approves, reach the
-- workflow by HTTP, at addresses that nobody else can guess.
CREATE PROCEDURE checkout_by_http(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    payments wf_webhook;
    page     wf_webhook;
    payment  jsonb;
    click    jsonb;
    parcel   jsonb;
BEGIN
    payments := wf_create_webhook();
    PERFORM wf_set_event('payments_url', to_jsonb(payments.url));
    CALL wf_await_hook(payments.token, '30 min', payment);

    page := wf_create_webhook('"manual"');  -- who calls is held until wf_respond()
    PERFORM wf_set_event('approval_url', to_jsonb(page.url));
    CALL wf_await_hook(page.token, '7 days', click);
    CALL wf_recv('parcel', '1 min', NULL, parcel);
    PERFORM wf_respond((click->>'request_id')::bigint, 200, '{"Content-Type": "text/html"}',
                       '<h1>Approved, parcel ' || (parcel #>> '{}') || '</h1>');
    PERFORM wf_complete(jsonb_build_object('paid', payment->'body'->'amount',
                                           'approval', click->>'query'));
END $$;
