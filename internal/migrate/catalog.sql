-- What users made in the database, as one JSON value. PostgreSQL 11 and later: newer columns are read through to_jsonb.
set lock_timeout = '10s';
with spaces as (
  select oid, nspname from pg_namespace where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'
), members as (
  select classid, objid from pg_depend where deptype = 'e'
), rels as (
  select c.*, n.nspname from pg_class c join spaces n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not exists (select from members m where m.classid = 'pg_class'::regclass and m.objid = c.oid)
)
select json_build_object(
'relations', (select coalesce(json_agg(json_build_object(
    'oid', c.oid::bigint, 'schema', c.nspname, 'name', c.relname, 'kind', c.relkind, 'file', c.relfilenode::bigint,
    'bytes', case when c.relkind in ('r', 'm') then pg_relation_size(c.oid) else 0 end,
    'owned', exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0),
    'writable', c.relkind in ('r', 'p') or pg_relation_is_updatable(c.oid, true) & 28 = 28,
    'guarded', c.relrowsecurity, 'forced', c.relforcerowsecurity,
    'owner', (select case when rolsuper then '' else rolname end from pg_roles o where o.oid = c.relowner),
    'columns', (select coalesce(json_agg(json_build_object(
        'number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'typeOid', a.atttypid::bigint,
        'collation', case when a.attcollation <> t.typcollation then (select collname from pg_collation where oid = a.attcollation) else '' end,
        'notNull', a.attnotnull or (t.typtype = 'd' and t.typnotnull), 'default', a.atthasdef or (t.typtype = 'd' and t.typdefault is not null),
        'identity', a.attidentity, 'generated', to_jsonb(a) ->> 'attgenerated' <> '') order by a.attnum), '[]')
      from pg_attribute a join pg_type t on t.oid = a.atttypid
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind <> 'S')
  ) order by c.nspname, c.relname), '[]') from rels c),
'constraints', (select coalesce(json_agg(json_build_object(
    'name', k.conname, 'kind', k.contype, 'relation', k.conrelid::bigint, 'domain', k.contypid::bigint, 'columns', coalesce(to_json(k.conkey), '[]'),
    'late', k.condeferrable, 'target', k.confrelid::bigint, 'text', pg_get_constraintdef(k.oid), 'onDelete', k.confdeltype, 'onUpdate', k.confupdtype) order by k.conname, k.oid), '[]')
  from pg_constraint k join spaces n on n.oid = k.connamespace where k.contype in ('c', 'f', 'x') and k.conparentid = 0),
'indexes', (select coalesce(json_agg(json_build_object(
    'name', i.indexrelid::regclass::text, 'relation', i.indrelid::bigint,
    'columns', (select json_agg(k) from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k),
    'text', coalesce(pg_get_expr(i.indexprs, i.indrelid), ''), 'where', coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
    'nulls', coalesce(to_jsonb(i) ->> 'indnullsnotdistinct' = 'true', false), 'late', not i.indimmediate) order by i.indexrelid::regclass::text), '[]')
  from pg_index i join rels c on c.oid = i.indrelid where i.indisunique and i.indislive),
'functions', (select coalesce(json_agg(json_build_object(
    'oid', p.oid::bigint, 'schema', n.nspname, 'name', p.proname, 'args', coalesce((select json_agg(a::bigint) from unnest(p.proargtypes) a), '[]'),
    'defaults', p.pronargdefaults, 'returns', coalesce(pg_get_function_result(p.oid), ''),
    'text', p.oid::regprocedure::text) order by p.oid), '[]')
  from pg_proc p join spaces n on n.oid = p.pronamespace
  where not exists (select from members m where m.classid = 'pg_proc'::regclass and m.objid = p.oid) and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)),
'types', (select coalesce(json_agg(json_build_object(
    'oid', t.oid::bigint, 'schema', n.nspname, 'name', t.typname,
    'base', case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) else '' end,
    'attributes', (select coalesce(json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) order by a.attnum), '[]')
      from pg_attribute a where a.attrelid = t.typrelid and t.typrelid <> 0 and a.attnum > 0 and not a.attisdropped),
    'labels', (select coalesce(json_agg(e.enumlabel order by e.enumsortorder), '[]') from pg_enum e where e.enumtypid = t.oid)) order by t.oid), '[]')
  from pg_type t join spaces n on n.oid = t.typnamespace
  where (t.typtype in ('e', 'd') or t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
    and not exists (select from members m where m.classid = 'pg_type'::regclass and m.objid = t.oid)),
'grants', (select coalesce(json_agg(g order by g.relation, g.role, g.right, g.column), '[]') from (
    select c.oid::bigint as relation, '' as column, case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee)::text end as role, x.privilege_type as right
    from rels c, aclexplode(c.relacl) x where x.grantee <> c.relowner
    union all
    select c.oid::bigint, a.attname, case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee)::text end, x.privilege_type
    from rels c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped, aclexplode(a.attacl) x where x.grantee <> c.relowner) g),
'usages', (select coalesce(json_agg(u order by u.on, u.role), '[]') from (
    select 'schema ' || n.nspname as on, case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee)::text end as role
    from pg_namespace n join spaces s on s.oid = n.oid, aclexplode(n.nspacl) x where x.privilege_type = 'USAGE' and x.grantee <> n.nspowner
    union all
    select 'function ' || p.oid::regprocedure, case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee)::text end
    from pg_proc p join spaces s on s.oid = p.pronamespace, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
    where x.privilege_type = 'EXECUTE' and x.grantee <> p.proowner) u),
'policies', (select coalesce(json_agg(json_build_object('relation', polrelid::bigint, 'name', polname,
    'text', concat_ws(' ', polcmd, polpermissive, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))) order by polrelid, polname), '[]') from pg_policy),
'extensions', (select coalesce(json_agg(extname order by extname), '[]') from pg_extension));
