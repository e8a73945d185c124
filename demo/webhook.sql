-- The third act: the payment provider, and a person who approves, reach the
-- workflow by HTTP, at addresses that nobody else can guess; and the customer's
-- page follows how far it is.
CREATE PROCEDURE checkout_by_http(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    payments wf_webhook;
    page     wf_webhook;
    progress wf_webhook;
    payment  jsonb;
    click    jsonb;
    parcel   jsonb;
BEGIN
    progress := wf_create_stream_url('progress');
    PERFORM wf_set_event('progress_url', to_jsonb(progress.url));
    payments := wf_create_webhook();
    PERFORM wf_set_event('payments_url', to_jsonb(payments.url));
    CALL wf_await_hook(payments.token, '30 min', payment);
    PERFORM wf_write_stream('progress', '"paid"');

    page := wf_create_webhook('"manual"');  -- who calls is held until wf_respond()
    PERFORM wf_set_event('approval_url', to_jsonb(page.url));
    CALL wf_await_hook(page.token, '7 days', click);
    PERFORM wf_write_stream('progress', jsonb_build_object('approved', click->>'query'));
    CALL wf_recv('parcel', '1 min', NULL, parcel);
    PERFORM wf_respond((click->>'request_id')::bigint, 200, '{"Content-Type": "text/html"}',
                       '<h1>Approved, parcel ' || (parcel #>> '{}') || '</h1>');
    PERFORM wf_complete(jsonb_build_object('paid', payment->'body'->'amount',
                                           'approval', click->>'query'));
END $$;
