package migrate

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Judgement is what became of statements on another schema.
type Judgement struct {
	Findings []Finding `json:"findings"` // of kind Statement, in the order of the statements
	Judged   int       `json:"judged"`   // how many were understood before
	// Unjudged are those that could not be prepared before either, and why, so that nothing is known of them: the types of their parameters are not
	// clear from them, or they are no queries.
	Unjudged []Finding `json:"unjudged"`
}

// Statements are the texts of what programs sent to the database since its statistics began, without values, each once.
// It returns an error where the extension pg_stat_statements is not there, and where other roles' statements are hidden from the one that asks.
// Source: https://www.postgresql.org/docs/current/pgstatstatements.html
func (d DB) Statements(ctx context.Context) ([]string, error) {
	var texts []string
	err := d.ask(ctx, `select coalesce(json_agg(query order by query), '[]') from (select distinct query from pg_stat_statements s join pg_database b on b.oid = s.dbid
where b.datname = current_database() and query !~* 'pg_stat_statements') q;`, &texts)
	if err != nil {
		return nil, fmt.Errorf("read the statements that ran: %w", err)
	}
	if slices.Contains(texts, hiddenStatement) {
		return nil, errors.New("read the statements that ran: those of other roles are hidden from this one, which needs pg_read_all_stats")
	}
	return texts, nil
}

// hiddenStatement is what a role sees of others' statements that may not see them.
const hiddenStatement = "<insufficient privilege>"

//go:embed judge.sql
var judgeSQL string

// aside are statements that depend on no schema, or make one.
var aside = regexp.MustCompile(`(?i)^\s*(begin|commit|rollback|start|savepoint|release|end|abort|set|reset|show|discard|create|alter|drop|comment|grant|revoke|analyze|vacuum|listen|unlisten|notify|deallocate|prepare|checkpoint|explain)\b`)

// Judge prepares and plans statements on the schema that programs were written for and on the new one, and names those that are understood on the
// first alone. None is run. Statements that begin or end transactions, set parameters or make schemas are left out.
func Judge(ctx context.Context, before, after DB, statements []string) (Judgement, error) {
	var asked []string
	var j Judgement
	for _, s := range statements {
		s = strings.TrimRight(s, "; \t\r\n")
		switch {
		case strings.TrimSpace(s) == "" || aside.MatchString(s):
		case isSeveral(s):
			j.Unjudged = append(j.Unjudged, Finding{Kind: Statement, On: "statement " + short(s), Text: "is more than one"})
		default:
			asked = append(asked, s)
		}
	}
	if len(asked) == 0 {
		return j, nil
	}
	then, err := before.prepare(ctx, asked)
	if err != nil {
		return j, fmt.Errorf("prepare statements on the schema of before: %w", err)
	}
	now, err := after.prepare(ctx, asked)
	if err != nil {
		return j, fmt.Errorf("prepare statements on the new schema: %w", err)
	}
	for i, s := range asked {
		switch {
		case then[i] != "":
			j.Unjudged = append(j.Unjudged, Finding{Kind: Statement, On: "statement " + short(s), Text: "was not understood before: " + then[i]})
			continue
		case now[i] != "":
			j.Findings = append(j.Findings, Finding{Kind: Statement, On: "statement " + short(s), Text: "is not understood any more: " + now[i]})
		}
		j.Judged++
	}
	return j, nil
}

// quoted is what may hold a semicolon that ends no statement: strings, names and comments. tricky is what makes that hard to tell: escapes and dollar
// quotes.
var (
	quoted = regexp.MustCompile(`(?s)'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/`)
	tricky = regexp.MustCompile(`\\|\$[^0-9]`)
)

// isSeveral is whether a text may be more than one statement, of which EXECUTE would run the second. Where it cannot be told it is.
func isSeveral(s string) bool {
	return strings.Contains(s, ";") && (tricky.MatchString(s) || strings.Contains(quoted.ReplaceAllString(s, " "), ";"))
}

// prepare says of each statement why it cannot be prepared, "" where it can.
func (d DB) prepare(ctx context.Context, statements []string) ([]string, error) {
	texts, err := json.Marshal(statements)
	if err != nil {
		return nil, err
	}
	var wrong []string
	if err := d.ask(ctx, strings.Replace(judgeSQL, ":statements", quote(string(texts)), 1), &wrong); err != nil {
		return nil, err
	}
	if len(wrong) != len(statements) {
		return nil, fmt.Errorf("the database judged %d statements of %d", len(wrong), len(statements))
	}
	return wrong, nil
}

// short is the beginning of a statement on one line.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 120 {
		return string(r[:119]) + "…"
	}
	return s
}
