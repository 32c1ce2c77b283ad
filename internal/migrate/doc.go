// Package migrate says what a project's migrations do to its database, before they are let near the one that counts.
//
// A deploy runs the migrations first and changes the programs after, so that for a while the former programs work on the new schema, and after a
// rollback they do so for long. Read is what a database's catalogue says; Compare names what lies between two of them that programs written for the
// first may not survive; Judge prepares on the new schema the statements that these programs really sent. What is added, and hurts nobody, is not
// mentioned.
//
// It speaks to the database by psql, which every image of PostgreSQL has: no port is opened for it.
package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// DB is a PostgreSQL database of version 11 or later.
type DB struct {
	// Psql runs psql in the database as a user that owns its tables, with further arguments, and gives it a script as its input. It returns an
	// error, with what psql printed of it, where psql ended with another code than 0.
	Psql func(ctx context.Context, args []string, script string, out io.Writer) error
}

// ask runs one statement that yields one JSON value.
// A cancelled context ends the wait; the statement changes nothing.
func (d DB) ask(ctx context.Context, script string, into any) error {
	var out bytes.Buffer
	err := d.Psql(ctx, []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"}, script, &out)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		return fmt.Errorf("read what psql printed: %w", err)
	}
	return nil
}

// quote is a text as a literal of SQL.
// Source: https://www.postgresql.org/docs/current/sql-syntax-lexical.html, 4.1.2.2 (with E” a backslash has a meaning, whatever the settings say).
func quote(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}

// Kind is what sort of trouble a Finding names.
type Kind string

// Kinds of findings. What is Rewritten does not break programs but keeps them waiting.
const (
	Dropped     Kind = "dropped"     // a table, view, column, function, type, sequence or extension is gone
	Renamed     Kind = "renamed"     // it has another name
	Retyped     Kind = "retyped"     // a column or a function gives other values
	Required    Kind = "required"    // rows without a value are refused, or the database gives none any more
	Constrained Kind = "constrained" // rows or deletions that were taken are refused
	Revoked     Kind = "revoked"     // a role may do less
	Statement   Kind = "statement"   // a statement that ran is not understood any more
	Rewritten   Kind = "rewritten"   // a whole table was written anew
)

// Finding is one thing that a migration does to programs that know the schema from before it.
type Finding struct {
	Kind Kind `json:"kind"`
	// On is what it is done to: "table notes", "column notes.title". Schemas are named but public.
	On string `json:"on"`
	// Text says what is done, in words: "is gone", "has the name body now".
	Text string `json:"text"`
}

// String is one line.
func (f Finding) String() string { return f.On + " " + f.Text }

// Breaks is whether programs may fail by it; else they have to wait.
func (f Finding) Breaks() bool { return f.Kind != Rewritten }
