-- The shop: a table of orders, and a trigger that tells whoever waits for an
-- order that it has changed.  This is ordinary user code: the role "shop" owns
-- it and has no special privilege.

CREATE TABLE orders (
    order_id integer PRIMARY KEY,
    total    numeric NOT NULL,
    status   text NOT NULL DEFAULT 'new'
);

CREATE FUNCTION order_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_notify('order-' || NEW.order_id, to_jsonb(NEW));
    RETURN NULL;
END $$;

CREATE TRIGGER order_changed AFTER UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION order_changed();
