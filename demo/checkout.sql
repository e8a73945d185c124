-- The whole story as one procedure.  CALL is its "await": what came before is
-- committed, and a wait of days needs no process.
CREATE TABLE stock (reserved int NOT NULL);
INSERT INTO stock VALUES (0);
CREATE TABLE charge (workflow_id text, amount numeric);

CREATE PROCEDURE checkout(input jsonb) LANGUAGE plpgsql AS $$
DECLARE
    paid jsonb;
    charged jsonb;
    parcel jsonb;
BEGIN
    PERFORM wf_step('reserve', 'UPDATE stock SET reserved = reserved + 1');
    PERFORM wf_set_event('payments_url',
                         to_jsonb('https://pay.example/' || wf_current()));
    CALL wf_recv('paid', '30 min', NULL, paid);
    IF paid IS NULL THEN
        PERFORM wf_step('release', 'UPDATE stock SET reserved = reserved - 1');
        PERFORM wf_fail('not paid in time');
        RETURN;
    END IF;
    CALL wf_step('charge',
                 'INSERT INTO charge VALUES (wf_current(), ($1->>''amount'')::numeric)
                  RETURNING to_jsonb(amount)',
                 paid, 1, '1 s', charged);
    PERFORM pg_sleep(2);                -- prints the invoice
    CALL wf_recv('parcel', '7 days', NULL, parcel);
    PERFORM wf_complete(jsonb_build_object('charged', charged, 'parcel', parcel));
END $$;

CREATE FUNCTION start_checkout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_start('order-' || NEW.order_id, 'checkout', to_jsonb(NEW));
    RETURN NEW;
END $$;
CREATE TRIGGER start_checkout AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION start_checkout();
