//go:build lab

package migrate_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/migrate"
)

var update = flag.Bool("update", false, "write what is found into the corpus")

// server is a PostgreSQL of the lab, and one psql in it that is kept, as its start takes longer than most of what it is given.
type server struct {
	container string
	environ   []string
	psql      *psql
}

type psql struct {
	in   io.WriteCloser
	out  *bufio.Reader
	said *bytes.Buffer // on stderr
	cmd  *exec.Cmd
}

func startServer(t *testing.T) *server {
	t.Helper()
	e := lab.Engines(t)[0]
	s := &server{container: lab.Name(t), environ: lab.Environ(t, e)}
	lab.Docker(t, e, "run", "-d", "--name", s.container, "-e", "POSTGRES_PASSWORD=test", lab.Server(t, e, "postgres"),
		"postgres", "-c", "shared_preload_libraries=pg_stat_statements", "-c", "fsync=off")
	t.Cleanup(func() {
		s.end()
		cmd := exec.Command("docker", "rm", "-f", "-v", s.container)
		cmd.Env = s.environ
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("remove the server: %v: %s", err, out)
		}
	})
	lab.Docker(t, e, "exec", s.container, "sh", "-c", "until pg_isready -q -h 127.0.0.1; do sleep 0.1; done")
	return s
}

// end ends the psql that is kept, if there is one.
func (s *server) end() {
	if s.psql == nil {
		return
	}
	s.psql.in.Close()
	_ = s.psql.cmd.Wait() // it says what it has to say to who gave it a script
	s.psql = nil
}

const asked, done = "-X -q -A -t -v ON_ERROR_STOP=1", "strake-test-done"

// db is one of its databases.
func (s *server) db(name string) migrate.DB {
	return migrate.DB{Psql: func(_ context.Context, args []string, script string, out io.Writer) error {
		if strings.Join(args, " ") != asked {
			return fmt.Errorf("psql is asked with %q, want %s", args, asked)
		}
		if err := s.open(); err != nil {
			return err
		}
		p := s.psql
		go fmt.Fprintf(p.in, "\\connect %s\n%s\n;\n\\echo %s\n", name, script, done) // psql reads and writes by turns
		for {
			line, err := p.out.ReadString('\n')
			if err != nil {
				s.end()
				return fmt.Errorf("psql ended: %s", p.said)
			}
			if line == done+"\n" {
				return nil
			}
			if _, err := io.WriteString(out, line); err != nil {
				return err
			}
		}
	}}
}

func (s *server) open() error {
	if s.psql != nil {
		return nil
	}
	p := &psql{said: new(bytes.Buffer)}
	p.cmd = exec.Command("docker", append([]string{"exec", "-i", s.container, "psql", "-U", "postgres"}, strings.Fields(asked)...)...)
	p.cmd.Env, p.cmd.Stderr = s.environ, p.said
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.in, p.out = in, bufio.NewReader(out)
	s.psql = p
	return p.cmd.Start()
}

// within is the former database while a migration is under way, which is taken back: that takes less than a copy.
func (s *server) within(migration string) migrate.DB {
	return migrate.DB{Psql: func(ctx context.Context, args []string, script string, out io.Writer) error {
		return s.db("former").Psql(ctx, args, "begin;\n"+migration+"\n;\n"+script+"\n;\nrollback", out)
	}}
}

func (s *server) run(t *testing.T, db, script string) {
	t.Helper()
	if err := s.db(db).Psql(t.Context(), strings.Fields(asked), script, io.Discard); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, db migrate.DB) migrate.Catalog {
	t.Helper()
	c, err := db.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCompare_Corpus runs each migration of testdata/corpus on the schema of testdata/before.sql: what breaks programs is named, and nothing else is.
func TestCompare_Corpus(t *testing.T) {
	s := startServer(t)
	before, err := os.ReadFile("testdata/before.sql")
	if err != nil {
		t.Fatal(err)
	}
	s.run(t, "postgres", "create database former")
	s.run(t, "former", string(before))
	was := read(t, s.db("former"))
	files, err := filepath.Glob("testdata/corpus/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	breaking := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			if corpus(t, s, was, file) {
				breaking++
			}
		})
	}
	if len(files) < 60 || breaking < 30 {
		t.Errorf("the corpus has %d migrations, of which %d break, want 60 and 30", len(files), breaking)
	}
}

func corpus(t *testing.T, s *server, was migrate.Catalog, file string) (breaks bool) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, f := range a.Files {
		parts[f.Name] = string(f.Data)
	}
	now := s.within(parts["migration.sql"])
	if parts["statements"] != "" || strings.Contains(parts["migration.sql"], "concurrently") {
		s.run(t, "postgres", "drop database if exists clone")
		s.run(t, "postgres", "create database clone template former")
		s.run(t, "clone", parts["migration.sql"])
		now = s.db("clone")
	}
	found := migrate.Compare(was, read(t, now))
	j, err := migrate.Judge(t.Context(), s.db("former"), now, strings.Split(strings.TrimSpace(parts["statements"]), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(j.Unjudged) > 0 {
		t.Errorf("not judged: %v", j.Unjudged)
	}
	var got strings.Builder
	for _, f := range append(found, j.Findings...) {
		fmt.Fprintf(&got, "%s: %s\n", f.Kind, f)
		breaks = breaks || f.Breaks()
	}
	if want := strings.HasPrefix(string(a.Comment), "It breaks programs."); breaks != want {
		t.Errorf("breaks = %t, want %t\n%s", breaks, want, got.String())
	}
	if got.String() == parts["want"] {
		return breaks
	}
	if !*update {
		t.Errorf("found\n%swant\n%s", got.String(), parts["want"])
		return breaks
	}
	for i := range a.Files {
		if a.Files[i].Name == "want" {
			a.Files[i].Data = []byte(got.String())
		}
	}
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
	return breaks
}
