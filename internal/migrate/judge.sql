-- Why each of some statements cannot be prepared and planned, '' where it can: a JSON array of texts for one of statements. None is run; EXPLAIN sees
-- what PREPARE does not, as ON CONFLICT needs a unique index.
set lock_timeout = '10s';
set standard_conforming_strings = on;
create or replace function pg_temp.why(number bigint, statement text) returns text language plpgsql as $why$
declare
  plan text := 'strake_' || number;
  parameters int;
begin
  execute 'prepare ' || plan || ' as ' || statement;
  select coalesce(array_length(parameter_types, 1), 0) into parameters from pg_prepared_statements p where p.name = plan;
  execute 'explain execute ' || plan || case when parameters > 0 then '(' || array_to_string(array_fill('null'::text, array[parameters]), ', ') || ')' else '' end;
  return '';
exception
  when syntax_error_or_access_rule_violation or feature_not_supported then
    return sqlerrm;
  when integrity_constraint_violation then
    return ''; -- null was refused, which stands in for values here
end $why$;
begin read only;
select json_agg(pg_temp.why(n, q) order by n) from json_array_elements_text(:statements) with ordinality s(q, n);
rollback;
