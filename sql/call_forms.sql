-- Hints for calls of ours that the server finds no function for.
--
-- The server's hints come from before any code of ours runs, and "use SELECT"
-- leads to the worse form of a wait.

-- A CALL without its results, or with a wrong number of arguments.
CALL wf_recv('paid', '1 s', 'x');
CALL wf_recv('paid', '1 s');
CALL public.wf_recv('paid');
CALL wf_recv(1, 2, 3, 4, 5);
DO $$ BEGIN CALL wf_sleep('1 s'); END $$;
DO $$ BEGIN EXECUTE 'CALL wf_result(''w'', ''0'')'; END $$;

-- A function that is CALLed; a procedure in a SELECT: the server's are right.
CALL wf_send('w', '1');
SELECT wf_recv('paid', '1 s', 'x', NULL);
-- (but not if the arguments are wrong, too)
CALL wf_send('w');

-- Wrong types, a wrong number, a wrong order.
SELECT wf_recv('paid', 1);
SELECT wf_send('w');
SELECT wf_recv(timeout => '1 s', topics => 'paid');
SELECT wf_recv('1 s', 'paid');
SELECT wf_send('w', 'hello');
SELECT length(wf_start('w', input => lower('(a)') || 'not json'));
SELECT wf_start('w', input => 'not json');
SELECT wf_get_event('w', 'k', 'soon'), 1;

-- What is not a call of ours keeps the server's hint.
SELECT wf_receive('paid');
SELECT my_wf_recv('paid');
SELECT 'wf_recv(x', lower(1, 2);
SELECT 'x'::interval, wf_current();
SELECT wf_sleep('1 s' - 'x'::interval);

-- Each of ours, called with nine booleans: the form is that of the catalog.
\pset format unaligned
\pset tuples_only on
SELECT format('SELECT %s(true, true, true, true, true, true, true, true, true)', proname)
  FROM pg_proc
 WHERE proname ~ '^wf_' AND pronamespace = 'public'::regnamespace AND prokind = 'f'
   AND prorettype <> 'trigger'::regtype
 ORDER BY proname COLLATE "C"
\gexec
SELECT format('CALL %s(true, true, true, true, true, true, true, true, true)', proname)
  FROM pg_proc
 WHERE proname ~ '^wf_' AND pronamespace = 'public'::regnamespace AND prokind = 'p'
 ORDER BY proname COLLATE "C"
\gexec
-- These are the forms of the catalog, to be compared with the hints above.
WITH form AS (
    SELECT p.proname, p.prokind, p.pronargs - p.pronargdefaults AS required,
           ARRAY(SELECT n || ' ' || replace(format_type(p.proargtypes[i - 1], NULL), 'timestamp with time zone', 'timestamptz')
                   FROM unnest(p.proargnames) WITH ORDINALITY a (n, i)
                  WHERE i <= p.pronargs ORDER BY i) AS args,
           array_to_string(p.proargnames, ', ') AS names
      FROM pg_proc p
     WHERE p.proname ~ '^wf_' AND p.pronamespace = 'public'::regnamespace
       AND p.prorettype <> 'trigger'::regtype
)
SELECT CASE prokind WHEN 'p' THEN format('HINT:  Pass all arguments, and a variable or NULL for each result: CALL %s(%s).', proname, names)
       ELSE format('HINT:  The function is %s(%s%s).', proname, array_to_string(args[:required], ', '),
                   CASE WHEN required < cardinality(args)
                        THEN CASE WHEN required > 0 THEN ' [, ' ELSE '[' END || array_to_string(args[required + 1:], ', ') || ']' END)
       END
  FROM form ORDER BY prokind, proname COLLATE "C";
