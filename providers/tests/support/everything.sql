-- One of everything that a logical dump must carry over.
CREATE SCHEMA "My Schema";
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, feels mood DEFAULT 'happy');
INSERT INTO customers (name) SELECT 'customer ' || n || E'\twith\ttabs\nand \\. lines' FROM generate_series(1, 500) n;
CREATE TABLE orders (id serial PRIMARY KEY, customer bigint REFERENCES customers, amount numeric(12, 2) NOT NULL,
  gross numeric GENERATED ALWAYS AS (amount * 1.21) STORED, at timestamptz DEFAULT now(), note bytea);
INSERT INTO orders (customer, amount, note) SELECT 1 + n % 500, n * 1.5, decode(md5(n::text), 'hex') FROM generate_series(1, 2000) n;
CREATE INDEX orders_by_customer ON orders (customer, at DESC);
CREATE INDEX orders_large ON orders (amount) WHERE amount > 1000;
COMMENT ON TABLE orders IS 'what people bought; it''s "quoted"';
CREATE TABLE "My Schema"."Tábľe ""x"" y" ("Ключ" integer PRIMARY KEY, "select" text);
INSERT INTO "My Schema"."Tábľe ""x"" y" SELECT n, 'ü' || n FROM generate_series(1, 7) n;
CREATE TABLE measurements (at date NOT NULL, value double precision) PARTITION BY RANGE (at);
CREATE TABLE measurements_2025 PARTITION OF measurements FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE measurements_2026 PARTITION OF measurements FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO measurements SELECT date '2025-12-01' + n, n / 3.0 FROM generate_series(1, 60) n;
CREATE TABLE parent (a integer);
CREATE TABLE child (b integer) INHERITS (parent);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (3, 4);
CREATE UNLOGGED TABLE cache (k text PRIMARY KEY, v positive);
INSERT INTO cache VALUES ('a', 1), ('b', 2);
CREATE TABLE empty_one (nothing integer);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE VIEW rich AS SELECT customer, sum(amount) AS total FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW richest AS SELECT * FROM rich ORDER BY total DESC LIMIT 10;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
COPY public.fake (a) FROM stdin;
  NEW.at := now(); RETURN NEW;
END $$;
CREATE TRIGGER touch_orders BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_of_them ON orders USING (true);
CREATE SEQUENCE alone START 41;
SELECT nextval('alone'), nextval('alone');
CREATE STATISTICS orders_stats ON customer, amount FROM orders;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far_away (x integer) SERVER far;
SELECT lo_from_bytea(0, decode(repeat('cafe', 3000), 'hex'));
GRANT SELECT ON customers TO PUBLIC;
