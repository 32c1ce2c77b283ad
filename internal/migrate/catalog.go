package migrate

import (
	"context"
	_ "embed"
	"fmt"
)

// Catalog is what a database's catalogue says of what users made in it, at one moment. What belongs to an extension, and the system's own, is left out.
// Source: https://www.postgresql.org/docs/current/catalogs.html; its JSON names are those of catalog.sql alone.
type Catalog struct {
	Relations   []relation   `json:"relations"`
	Constraints []constraint `json:"constraints"`
	Indexes     []index      `json:"indexes"` // unique ones alone
	Functions   []function   `json:"functions"`
	Types       []dataType   `json:"types"` // enums, domains and composite types
	Grants      []grant      `json:"grants"`
	Usages      []usage      `json:"usages"`
	Policies    []policy     `json:"policies"`
	Extensions  []string     `json:"extensions"`
}

// relation is a table, view or sequence.
type relation struct {
	OID      int64    `json:"oid"`
	Schema   string   `json:"schema"`
	Name     string   `json:"name"`
	Kind     string   `json:"kind"` // as relkind has it: r, p (partitioned), v, m, f, S
	File     int64    `json:"file"` // changes when the table is written anew
	Bytes    int64    `json:"bytes"`
	Owned    bool     `json:"owned"`    // a sequence that belongs to a column
	Writable bool     `json:"writable"` // rows can be inserted, changed and deleted
	Guarded  bool     `json:"guarded"`  // row level security is on
	Forced   bool     `json:"forced"`   // for its owner too
	Owner    string   `json:"owner"`    // a role; "" is one that may do everything everywhere
	Columns  []column `json:"columns"`
}

// column is one that is not dropped.
type column struct {
	Number    int    `json:"number"`
	Name      string `json:"name"`
	Type      string `json:"type"` // with its modifier: character varying(50)
	TypeOID   int64  `json:"typeOid"`
	Collation string `json:"collation"`
	NotNull   bool   `json:"notNull"`
	Default   bool   `json:"default"`   // there is one
	Identity  string `json:"identity"`  // a (always), d (by default)
	Generated bool   `json:"generated"` // from other columns
}

// constraint is one of a table or a domain.
type constraint struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"` // c (check), f (foreign key), x (exclusion)
	Relation int64  `json:"relation"`
	Domain   int64  `json:"domain"`
	Columns  []int  `json:"columns"`
	Target   int64  `json:"target"` // the table that a foreign key names
	Text     string `json:"text"`   // as pg_get_constraintdef writes it
	OnDelete string `json:"onDelete"`
	OnUpdate string `json:"onUpdate"`
	Late     bool   `json:"late"` // it can be looked at when the transaction ends
}

// index is a unique one.
type index struct {
	Name     string `json:"name"`
	Relation int64  `json:"relation"`
	Columns  []int  `json:"columns"` // 0 is an expression
	Text     string `json:"text"`    // of its expressions
	Where    string `json:"where"`
	Nulls    bool   `json:"nulls"` // two nulls are alike
	Late     bool   `json:"late"`  // it can be looked at when the transaction ends
}

// function is one, or a procedure or aggregate.
type function struct {
	OID      int64   `json:"oid"`
	Schema   string  `json:"schema"`
	Name     string  `json:"name"`
	Args     []int64 `json:"args"` // the types of what it takes
	Defaults int     `json:"defaults"`
	Returns  string  `json:"returns"`
	Text     string  `json:"text"` // name and types, for people
}

// dataType is an enum, a domain or a composite type.
type dataType struct {
	OID    int64    `json:"oid"`
	Schema string   `json:"schema"`
	Name   string   `json:"name"`
	Labels []string `json:"labels"`
	Base   string   `json:"base"` // of a domain
	// Attributes of a composite type are pairs of a name and a type.
	Attributes [][2]string `json:"attributes"`
}

// grant is what a role that is not the owner may do.
type grant struct {
	Relation int64  `json:"relation"`
	Column   string `json:"column"` // "" is the whole of it
	Role     string `json:"role"`
	Right    string `json:"right"`
}

// usage is that a role that is not the owner may use a schema or call a function.
type usage struct {
	On   string `json:"on"`
	Role string `json:"role"`
}

// policy is one of row level security.
type policy struct {
	Relation int64  `json:"relation"`
	Name     string `json:"name"`
	Text     string `json:"text"`
}

//go:embed catalog.sql
var catalogSQL string

// Read reads the catalogue, and changes nothing. It waits for ten seconds at most behind who changes the schema, and fails then.
func (d DB) Read(ctx context.Context) (Catalog, error) {
	var c Catalog
	if err := d.ask(ctx, catalogSQL, &c); err != nil {
		return Catalog{}, fmt.Errorf("read the database's catalogue: %w", err)
	}
	return c, nil
}
