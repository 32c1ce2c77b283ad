package migrate

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// isOld is whether all columns of a table that is there now were in it before, under the name that they have now: a rule about new columns alone hurts
// nobody who does not know them. A table that is new has none.
func (c *comparison) isOld(table int64, columns []int) (was, is relation, old bool) {
	for oid, r := range c.now {
		if r.OID != table {
			continue
		}
		is = r
		was = c.before.Relations[slices.IndexFunc(c.before.Relations, func(b relation) bool { return b.OID == oid })]
		for _, n := range columns {
			col, there := is.column(n)
			if _, known := was.named(col.Name); there && !known {
				return was, is, false
			}
		}
		return was, is, true
	}
	return relation{}, relation{}, false
}

// names are the columns' names, sorted.
func (r relation) names(columns []int) []string {
	var names []string
	for _, n := range columns {
		if col, there := r.column(n); there {
			names = append(names, col.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (c *comparison) constraints() {
	for _, k := range c.after.Constraints {
		if k.Domain != 0 {
			c.domain(k)
			continue
		}
		was, is, old := c.isOld(k.Relation, k.Columns)
		if !old {
			continue
		}
		former := c.former(k, was, is)
		switch {
		case slices.ContainsFunc(former, func(f constraint) bool { return sameRule(f.Text, k.Text) }):
		case k.Kind == "f" && slices.ContainsFunc(former, func(f constraint) bool { return f.Late && !k.Late }):
			c.find(Constrained, was.String(), "is looked at with each statement now and no more when a transaction ends (%s)", k.Name)
		case k.Kind == "c" && slices.ContainsFunc(former, func(f constraint) bool { return allows(k.Text, f.Text) }):
		case k.Kind == "c":
			c.find(Constrained, was.String(), "takes only rows with %s now (%s)", ruleOf(k.Text), k.Name)
		case k.Kind == "x":
			c.find(Constrained, was.String(), "refuses rows that meet others now (%s)", k.Name)
		case len(former) == 0:
			c.find(Constrained, was.String(), "takes only rows now whose %s is in %s (%s)", strings.Join(is.names(k.Columns), ", "), c.tableName(k.Target), k.Name)
		default:
			c.action(k, former[0], was)
		}
	}
}

// sameRule is whether two definitions say the same; whether old rows were looked at says nothing of new ones.
func sameRule(a, b string) bool {
	return strings.TrimSuffix(a, " NOT VALID") == strings.TrimSuffix(b, " NOT VALID")
}

// former are the constraints of its kind that the table had before on the same columns, of foreign keys those to the same table.
func (c *comparison) former(k constraint, was, is relation) []constraint {
	var all []constraint
	for _, f := range c.before.Constraints {
		if f.Kind == k.Kind && f.Relation == was.OID && slices.Equal(was.names(f.Columns), is.names(k.Columns)) && (k.Kind != "f" || c.tableName(f.Target) == c.tableName(k.Target)) {
			all = append(all, f)
		}
	}
	return all
}

// tableName is the name of a table of either side.
func (c *comparison) tableName(oid int64) string {
	for _, r := range slices.Concat(c.after.Relations, c.before.Relations) {
		if r.OID == oid {
			return full(r.Schema, r.Name)
		}
	}
	return ""
}

// action finds what a foreign key forbids that the former one did not: to delete or change rows that others name.
func (c *comparison) action(is, was constraint, table relation) {
	forbids := func(action string) bool { return action == "a" || action == "r" }
	for _, a := range []struct{ was, is, text string }{{was.OnDelete, is.OnDelete, "deleted"}, {was.OnUpdate, is.OnUpdate, "changed"}} {
		if forbids(a.is) && !forbids(a.was) {
			c.find(Constrained, "table "+c.tableName(is.Target), "has rows that cannot be %s now while rows of %s name them (%s)", a.text, full(table.Schema, table.Name), is.Name)
		}
	}
}

// ruleOf is what a check asks.
func ruleOf(definition string) string {
	rule := strings.TrimSuffix(strings.TrimPrefix(definition, "CHECK "), " NOT VALID")
	for strings.HasPrefix(rule, "((") && strings.HasSuffix(rule, "))") {
		rule = rule[1 : len(rule)-1]
	}
	return rule
}

// list is how PostgreSQL writes `column in (…)`: what comes before the values, the values, and what comes after them.
var list = regexp.MustCompile(`^(.*= ANY \(+ARRAY\[)(.*)(\].*)$`)

// allows is whether a check takes all that another took: both list the values that a column may have.
func allows(is, was string) bool {
	now, then := list.FindStringSubmatch(strings.TrimSuffix(is, " NOT VALID")), list.FindStringSubmatch(strings.TrimSuffix(was, " NOT VALID"))
	if now == nil || then == nil || now[1] != then[1] || now[3] != then[3] {
		return false
	}
	values := strings.Split(now[2], ", ")
	for v := range strings.SplitSeq(then[2], ", ") {
		if !slices.Contains(values, v) {
			return false
		}
	}
	return true
}

// domain finds a rule of a domain that is new while the domain is not.
func (c *comparison) domain(k constraint) {
	is := slices.IndexFunc(c.after.Types, func(t dataType) bool { return t.OID == k.Domain })
	if is < 0 {
		return // it belongs to an extension
	}
	t := c.after.Types[is]
	i := slices.IndexFunc(c.before.Types, func(b dataType) bool { return b.Schema == t.Schema && b.Name == t.Name })
	if i < 0 || slices.ContainsFunc(c.before.Constraints, func(f constraint) bool {
		return f.Domain == c.before.Types[i].OID && (sameRule(f.Text, k.Text) || allows(k.Text, f.Text))
	}) {
		return
	}
	c.find(Constrained, "type "+full(t.Schema, t.Name), "takes only %s now (%s)", ruleOf(k.Text), k.Name)
}

// indexes finds what must be unique now and did not have to be.
func (c *comparison) indexes() {
	for _, i := range c.after.Indexes {
		was, is, old := c.isOld(i.Relation, i.Columns)
		if !old || is.Kind == "m" {
			continue
		}
		names := is.names(i.Columns)
		expressions := slices.Contains(i.Columns, 0)
		known := slices.ContainsFunc(c.before.Indexes, func(f index) bool {
			if f.Relation != was.OID || i.Nulls && !f.Nulls || f.Late && !i.Late {
				return false
			}
			if expressions || slices.Contains(f.Columns, 0) || f.Where != "" {
				return f.Where == i.Where && f.Text == i.Text && slices.Equal(was.names(f.Columns), names)
			}
			for _, n := range was.names(f.Columns) {
				if !slices.Contains(names, n) {
					return false
				}
			}
			return true
		})
		switch {
		case known:
		case expressions:
			c.find(Constrained, was.String(), "takes no two rows now that are alike in what %s is about", i.Name)
		default:
			c.find(Constrained, was.String(), "takes no two rows now with the same %s (%s)", strings.Join(names, ", "), i.Name)
		}
	}
}

// functions finds calls that were understood and are not any more.
func (c *comparison) functions() {
	for _, was := range c.before.Functions {
		answers := func(f function) bool {
			return f.Schema == was.Schema && f.Name == was.Name && len(f.Args) >= len(was.Args) && len(f.Args)-f.Defaults <= len(was.Args)-was.Defaults &&
				slices.Equal(f.Args[:len(was.Args)], was.Args)
		}
		i := slices.IndexFunc(c.after.Functions, answers)
		same := slices.IndexFunc(c.after.Functions, func(f function) bool { return f.OID == was.OID })
		switch {
		case i >= 0 && c.after.Functions[i].Returns != was.Returns:
			c.find(Retyped, "function "+was.Text, "gives %s now and gave %s", c.after.Functions[i].Returns, was.Returns)
		case i >= 0:
		case same >= 0:
			c.find(Renamed, "function "+was.Text, "has the name %s now", full(c.after.Functions[same].Schema, c.after.Functions[same].Name))
		default:
			c.find(Dropped, "function "+was.Text, "is gone, and nothing takes what it took")
		}
	}
}

func (c *comparison) types() {
	for _, was := range c.before.Types {
		on := "type " + full(was.Schema, was.Name)
		i := slices.IndexFunc(c.after.Types, func(t dataType) bool { return t.Schema == was.Schema && t.Name == was.Name })
		if i < 0 {
			same := slices.IndexFunc(c.after.Types, func(t dataType) bool { return t.OID == was.OID })
			if same >= 0 {
				c.find(Renamed, on, "has the name %s now", full(c.after.Types[same].Schema, c.after.Types[same].Name))
			} else {
				c.find(Dropped, on, "is gone")
			}
			continue
		}
		is := c.after.Types[i]
		if was.Base != is.Base {
			c.find(Retyped, on, "is %s now and was %s", cmp.Or(is.Base, "no domain"), cmp.Or(was.Base, "no domain"))
		}
		if len(is.Attributes) < len(was.Attributes) || !slices.Equal(is.Attributes[:len(was.Attributes)], was.Attributes) {
			c.find(Retyped, on, "has other attributes")
		} else if len(is.Attributes) > len(was.Attributes) {
			c.find(Retyped, on, "has more attributes, which its values have to give")
		}
		for _, label := range was.Labels {
			if !slices.Contains(c.after.Types[i].Labels, label) {
				c.find(Dropped, on, "has no value %s any more", label)
			}
		}
	}
}

// grants finds what roles may not do any more with what is still there.
func (c *comparison) grants() {
	for _, g := range c.before.Grants {
		is, there := c.now[g.Relation]
		if is.Owner == g.Role {
			continue // who owns it may do everything
		}
		if _, kept := is.named(g.Column); !there || g.Column != "" && !kept {
			continue
		}
		same := func(n grant) bool {
			return n.Relation == is.OID && (n.Role == g.Role || n.Role == "public") && n.Right == g.Right && (n.Column == "" || n.Column == g.Column)
		}
		if !slices.ContainsFunc(c.after.Grants, same) {
			on := is.String()
			if g.Column != "" {
				on = "column " + full(is.Schema, is.Name) + "." + g.Column
			}
			c.find(Revoked, on, "is closed to the role %s for %s now", g.Role, strings.ToLower(g.Right))
		}
	}
}

// usages finds what roles may not use any more of what is still there.
func (c *comparison) usages() {
	for _, u := range c.before.Usages {
		has := func(role string) bool { return slices.Contains(c.after.Usages, usage{On: u.On, Role: role}) }
		if c.isThere(u.On) && !has(u.Role) && !has("public") {
			c.find(Revoked, u.On, "is closed to the role %s now", u.Role)
		}
	}
}

// isThere is whether a schema or function, of which rights are known, is still there. What a schema is known by are the things in it.
func (c *comparison) isThere(on string) bool {
	if name, isSchema := strings.CutPrefix(on, "schema "); isSchema {
		return slices.ContainsFunc(c.after.Relations, func(r relation) bool { return r.Schema == name })
	}
	return slices.ContainsFunc(c.after.Functions, func(f function) bool { return "function "+f.Text == on })
}

// policies finds tables that were guarded before and whose policies are other ones: whether they allow more or less is not judged.
func (c *comparison) policies() {
	for _, was := range c.before.Relations {
		is, there := c.now[was.OID]
		if !there || !was.Guarded || !is.Guarded {
			continue
		}
		of := func(all []policy, oid int64) (texts []string) {
			for _, p := range all {
				if p.Relation == oid {
					texts = append(texts, p.Text)
				}
			}
			slices.Sort(texts)
			return texts
		}
		if !slices.Equal(of(c.before.Policies, was.OID), of(c.after.Policies, is.OID)) {
			c.find(Constrained, was.String(), "shows and takes other rows: its policies are other ones")
		}
	}
}
