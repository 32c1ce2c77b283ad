//go:build lab

package main_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// seeded is a PostgreSQL whose seed has a hundred rows.
const seeded = `
services:
  db:
    image: %s
    environment: {POSTGRES_HOST_AUTH_METHOD: trust}
    healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1], interval: 1s, retries: 60}
    x-strake: {seed: {with: [fill]}}
  fill:
    image: %[1]s
    entrypoint: [psql, -h, db, -U, postgres, -c]
    command: ["create table rows as select 'seed' as who, generate_series(1, 100) as n"]
    depends_on: {db: {condition: service_healthy}}
`

// TestSeed_StacksFromOneSeedDoNotSeeEachOther has ten stacks write at once.
func TestSeed_StacksFromOneSeedDoNotSeeEachOther(t *testing.T) {
	e := lab.Engines(t)[0]
	s := newStack(t, e, fmt.Sprintf(seeded, lab.Server(t, e, "postgres")))
	run := func(one stack, args ...string) (string, error) {
		out, err := one.command(t, nil, args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("strake %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return string(out), err
	}
	if _, err := run(s, "seed", "build"); err != nil {
		t.Fatal(err)
	}
	key, err := run(s, "seed", "key")
	if err != nil {
		t.Fatal(err)
	}
	image := s.name + "-seed-db:" + strings.TrimSpace(key)
	var stacks []stack
	for n := range 10 {
		one := newStack(t, e, fmt.Sprintf("services: {db: {image: %q, environment: {POSTGRES_HOST_AUTH_METHOD: trust}, healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1], interval: 1s, retries: 60}}}", image))
		one.name = fmt.Sprintf("%s-%d", s.name, n)
		stacks = append(stacks, one)
	}
	together := func(do func(stack) error) {
		t.Helper()
		var all sync.WaitGroup
		for _, one := range stacks {
			all.Go(func() {
				if err := do(one); err != nil {
					t.Errorf("%s: %v", one.name, err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	together(func(one stack) error { _, err := run(one, "up"); return err })
	together(func(one stack) error {
		_, err := run(one, "exec", "-T", "db", "psql", "-U", "postgres", "-c",
			fmt.Sprintf("insert into rows select '%s', generate_series(1, 1000); delete from rows where who = 'seed' and n > 50", one.name))
		return err
	})
	together(func(one stack) error {
		got, err := run(one, "exec", "-T", "db", "psql", "-U", "postgres", "-At", "-c", "select who, count(*) from rows group by who order by who = 'seed'")
		if want := one.name + "|1000\nseed|50\n"; err == nil && got != want {
			err = fmt.Errorf("it has the rows\n%swant\n%s", got, want)
		}
		return err
	})
}
