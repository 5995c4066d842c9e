-- Templates of certificates: how they look, for operators to change without code.
--
-- A template is one text of Typst source. The database keeps it and looks at its size only: what it
-- draws shows `bin/admin templates preview`, and what is wrong with it becomes the reason of the job
-- that failed. The one that ships with the functions is not here; it is taken where none is named.

select private.require_free(array[
  'private.certificate_templates', 'private.get_certificate_templates',
  'private.put_certificate_template', 'public.get_certificate_templates',
  'public.put_certificate_template']);

create table private.certificate_templates (
  name text primary key
    constraint template_name_is_valid check (
      char_length(name) <= 100 and name ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  source text not null
    constraint template_source_is_valid check (char_length(source) between 1 and 262144),
  paper text not null default 'a4'
    constraint template_paper_is_valid check (paper in ('a4', 'letter')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table private.certificate_templates is
  'Typst source of certificates by name, and the paper they are made for.';
alter table private.certificate_templates enable row level security;
revoke all on table private.certificate_templates
  from public, anon, authenticated, service_role, waymark_writer;
create policy "Nobody reads templates directly" on private.certificate_templates
  for select to authenticated using (false);
create trigger _900_touch before update on private.certificate_templates
  for each row execute function private.tg_touch_updated_at();

create function private.put_certificate_template(p_name text, p_source text, p_paper text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  v_old private.certificate_templates;
  v_new private.certificate_templates;
begin
  perform private.require_admin('Only admins change templates');
  if p_name is null or char_length(p_name) > 100 or p_name !~ '^[a-z0-9]+(-[a-z0-9]+)*$' then
    perform private.fail('invalid_value', 422,
      'name must be lower-case letters, digits and single hyphens, at most 100');
  end if;
  if p_source is null or char_length(p_source) not between 1 and 262144 then
    perform private.fail('invalid_value', 422, 'source must have 1 to 262144 characters');
  end if;
  if p_paper is null or p_paper not in ('a4', 'letter') then
    perform private.fail('invalid_value', 422, 'paper must be a4 or letter');
  end if;
  -- Of two at once the later waits for the row, so that the audit log tells what each replaced.
  insert into private.certificate_templates as t (name, source, paper)
  values (p_name, p_source, p_paper)
      on conflict (name) do nothing
  returning t.* into v_new;
  if v_new.name is null then
    select * into v_old from private.certificate_templates where name = p_name for update;
    if (v_old.source, v_old.paper) = (p_source, p_paper) then
      return jsonb_build_object('name', p_name, 'paper', p_paper, 'changed', false);
    end if;
    update private.certificate_templates
       set source = p_source, paper = p_paper
     where name = p_name;
  end if;
  perform private.audit(
    'certificate_template.put', null, null, 'certificate_template:' || p_name, null,
    case when v_old.name is not null
      then jsonb_build_object('source', v_old.source, 'paper', v_old.paper) end,
    jsonb_build_object('source', p_source, 'paper', p_paper));
  return jsonb_build_object('name', p_name, 'paper', p_paper, 'changed', true);
end
$$;
comment on function private.put_certificate_template(text, text, text) is
  'Checks who calls and what, then keeps the template; the audit log keeps the one before.';
revoke execute on function private.put_certificate_template(text, text, text) from public;

create function private.get_certificate_templates(p_name text) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_admin('Only admins read templates');
  return jsonb_build_object('templates', (
    select coalesce(jsonb_agg(
             jsonb_build_object('name', t.name, 'paper', t.paper, 'created_at', t.created_at,
               'updated_at', t.updated_at)
             || case when p_name is null then '{}'
                  else jsonb_build_object('source', t.source) end
             order by t.name), '[]')
      from (
        select * from private.certificate_templates
         where p_name is null or name = p_name
         order by name
         limit 1000
      ) as t));
end
$$;
comment on function private.get_certificate_templates(text) is
  'Names and papers of all templates, or one of them with its source.';
revoke execute on function private.get_certificate_templates(text) from public;

create function public.put_certificate_template(
  p_name text, p_source text, p_paper text default 'a4') returns jsonb
language sql volatile security invoker set search_path = ''
begin atomic select private.put_certificate_template(p_name, p_source, p_paper); end;
comment on function public.put_certificate_template(text, text, text) is
  'Admins: keeps a template of certificates under a name, new or instead of the one before.';

create function public.get_certificate_templates(p_name text default null) returns jsonb
language sql stable security invoker set search_path = ''
begin atomic select private.get_certificate_templates(p_name); end;
comment on function public.get_certificate_templates(text) is
  'Admins: the templates of certificates; with a name that one, source included.';

revoke execute on function public.put_certificate_template, public.get_certificate_templates
  from public, anon, authenticated, service_role;
grant execute on function public.put_certificate_template, private.put_certificate_template,
  public.get_certificate_templates, private.get_certificate_templates
  to authenticated, service_role;
