package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Compare names what lies between two readings of one database that programs written for the first may not survive, and whole tables that were
// written anew, sorted. What was added and asks nothing of anybody is not in it, nor what was taken away that only forbade something.
//
// A thing is known by its name, and where the name is gone by its number in the catalogue, so that what was renamed is called so; a view in the place of a
// table is as good as the table where rows can be written through it.
func Compare(before, after Catalog) []Finding {
	c := comparison{before: before, after: after, now: map[int64]relation{}}
	c.relations()
	c.constraints()
	c.indexes()
	c.functions()
	c.types()
	c.grants()
	c.usages()
	c.policies()
	for _, name := range before.Extensions {
		if !slices.Contains(after.Extensions, name) {
			c.find(Dropped, "extension "+name, "is gone")
		}
	}
	slices.SortFunc(c.found, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.On, b.On), cmp.Compare(a.Text, b.Text)) })
	return slices.Compact(c.found)
}

type comparison struct {
	before, after Catalog
	now           map[int64]relation // what is now in the place of a relation from before, by its number then; nothing where it is gone
	found         []Finding
}

func (c *comparison) find(k Kind, on, format string, args ...any) {
	c.found = append(c.found, Finding{Kind: k, On: on, Text: fmt.Sprintf(format, args...)})
}

// words of relkind.
func (r relation) kind() string {
	switch r.Kind {
	case "v":
		return "view"
	case "m":
		return "materialized view"
	case "S":
		return "sequence"
	default:
		return "table"
	}
}

// full is the name as people write it.
func full(schema, name string) string {
	if schema == "public" {
		return name
	}
	return schema + "." + name
}

func (r relation) String() string { return r.kind() + " " + full(r.Schema, r.Name) }

func (r relation) column(number int) (column, bool) {
	i := slices.IndexFunc(r.Columns, func(c column) bool { return c.Number == number })
	if i < 0 {
		return column{}, false
	}
	return r.Columns[i], true
}

func (r relation) named(name string) (column, bool) {
	i := slices.IndexFunc(r.Columns, func(c column) bool { return c.Name == name })
	if i < 0 {
		return column{}, false
	}
	return r.Columns[i], true
}

func (c *comparison) relations() {
	byName, byOID := map[string]relation{}, map[int64]relation{}
	for _, r := range c.after.Relations {
		byName[full(r.Schema, r.Name)], byOID[r.OID] = r, r
	}
	for _, was := range c.before.Relations {
		is, there := byName[full(was.Schema, was.Name)]
		same, moved := byOID[was.OID]
		switch {
		case there && (was.Kind == "S") != (is.Kind == "S"):
			c.find(Dropped, was.String(), "is gone: %s has its name", is)
			continue
		case there:
			c.now[was.OID] = is
			c.relation(was, is)
		case was.Owned: // it goes with its column, of which is told
			continue
		case moved:
			c.find(Renamed, was.String(), "has the name %s now", full(same.Schema, same.Name))
			continue
		default:
			c.find(Dropped, was.String(), "is gone")
			continue
		}
		if same.OID == is.OID && was.Bytes > 0 && is.File != was.File && is.File != 0 {
			c.find(Rewritten, was.String(), "was written anew or emptied, all of its %s: nobody can use it meanwhile", size(was.Bytes))
		}
	}
}

// size is a number of bytes for people.
func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", (bytes+1<<10-1)>>10)
	}
	return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20)
}

// relation compares what has one name.
func (c *comparison) relation(was, is relation) {
	on := was.String()
	if was.Writable && !is.Writable {
		c.find(Constrained, on, "is a %s now that rows cannot be written through", is.kind())
	}
	if is.Guarded && (!was.Guarded || is.Forced && !was.Forced) && (is.Forced || c.isShared(is.OID)) {
		c.find(Constrained, on, "shows and takes only the rows that its policies allow: row level security is on")
	}
	if was.Owner != "" && is.Owner != was.Owner && !c.serves(is.OID, was.Owner) {
		c.find(Revoked, on, "does not belong to the role %s any more, which may not read and write it", was.Owner)
	}
	for _, col := range was.Columns {
		c.column(was, is, col)
	}
	for _, col := range is.Columns {
		if _, there := was.named(col.Name); there {
			continue
		}
		if before, there := was.column(col.Number); there && is.OID == was.OID {
			if _, kept := is.named(before.Name); !kept {
				continue // it was renamed, of which is told
			}
		}
		if col.NotNull && !col.Default && col.Identity == "" && !col.Generated && is.Kind != "v" && is.Kind != "m" {
			c.find(Required, "column "+full(was.Schema, was.Name)+"."+col.Name, "is new and must have a value, for which there is no default")
		}
	}
}

// isShared is whether a role beside the owner may do anything with it.
func (c *comparison) isShared(oid int64) bool {
	return slices.ContainsFunc(c.after.Grants, func(g grant) bool { return g.Relation == oid })
}

// serves is whether a role that does not own it may read and write it.
func (c *comparison) serves(oid int64, role string) bool {
	for _, right := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
		if !slices.Contains(c.after.Grants, grant{Relation: oid, Role: role, Right: right}) {
			return false
		}
	}
	return true
}

func (c *comparison) column(was, is relation, col column) {
	on := "column " + full(was.Schema, was.Name) + "." + col.Name
	now, there := is.named(col.Name)
	if !there {
		other, moved := is.column(col.Number)
		if _, old := was.named(other.Name); moved && is.OID == was.OID && !old {
			c.find(Renamed, on, "has the name %s now", other.Name)
			return
		}
		c.find(Dropped, on, "is gone")
		return
	}
	if !widens(col, now) {
		c.find(Retyped, on, "is %s now and was %s", typeOf(now), typeOf(col))
	}
	if is.Kind == "v" || is.Kind == "m" {
		return
	}
	switch {
	case now.Generated && !col.Generated:
		c.find(Constrained, on, "is computed now: no value can be given to it")
	case now.Identity == "a" && col.Identity != "a":
		c.find(Constrained, on, "is numbered always now: no value can be given to it")
	case now.NotNull && !col.NotNull && !now.fills():
		c.find(Required, on, "must have a value now, for which there is no default")
	case now.NotNull && !col.NotNull:
		c.find(Required, on, "must have a value now: null is refused")
	case col.fills() && !now.fills():
		c.find(Required, on, "has no default any more")
	}
}

// fills is whether a row gets a value of it without giving one.
func (c column) fills() bool { return c.Default || c.Identity != "" || c.Generated }

// typeOf is a column's type for people.
func typeOf(c column) string {
	if c.Collation != "" {
		return c.Type + " collate " + c.Collation
	}
	return c.Type
}

// widens is whether programs for the first type can go on with the second: it is the same, or a text that may be longer, or a number with more
// digits before the point and as many after it.
func widens(was, is column) bool {
	if typeOf(was) == typeOf(is) {
		return true
	}
	if was.TypeOID == is.TypeOID && was.Type != is.Type && !strings.Contains(was.Type+is.Type, "(") && was.Collation == is.Collation {
		return true // the type has another name, of which is told once
	}
	if was.Collation != is.Collation {
		return false
	}
	if strings.HasSuffix(was.Type, "[]") || strings.HasSuffix(is.Type, "[]") {
		return false
	}
	from, fromArgs := modifier(was.Type)
	to, toArgs := modifier(is.Type)
	switch {
	case from == "character varying" && (to == "text" || to == from && len(toArgs) == 0), from == "text" && to == "character varying" && len(toArgs) == 0:
		return true
	case from == to && from == "character varying":
		return len(fromArgs) > 0 && fromArgs[0] <= toArgs[0]
	case from == to && from == "numeric" && len(toArgs) == 0:
		return false // it has other digits after the point
	case from == to && from == "numeric" && len(fromArgs) == 2 && len(toArgs) == 2:
		return fromArgs[1] == toArgs[1] && fromArgs[0] <= toArgs[0]
	}
	return false
}

// modifier is the name of a type as format_type writes it, and the numbers after it.
func modifier(text string) (name string, args []int) {
	name, list, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	for word := range strings.SplitSeq(list, ",") {
		var n int
		if _, err := fmt.Sscan(word, &n); err == nil {
			args = append(args, n)
		}
	}
	return name, args
}
