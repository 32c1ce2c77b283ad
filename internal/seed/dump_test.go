package seed

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/strake-dev/strake/compose"
)

// archiveHead is the beginning of an archive of pg_dump in custom format.
func archiveHead(minor byte, server, program string) []byte {
	b := []byte{'P', 'G', 'D', 'M', 'P', 1, minor, 0, 4, 8, 1}
	number := func(n int) { b = binary.LittleEndian.AppendUint32(append(b, 0), uint32(n)) }
	text := func(s string) { number(len(s)); b = append(b, s...) }
	if minor >= 15 {
		b = append(b, 1)
	} else {
		number(6)
	}
	for n := range 7 {
		number(n)
	}
	text("shop")
	text(server)
	text(program)
	return append(b, 0, 42, 0, 0, 0)
}

func packed(t *testing.T, text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(t *testing.T, content []byte) (*dump, context.Context) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	d, err := readDump(io.NopCloser(bytes.NewReader(content)), "dump", cancel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // it was only read
	return d, ctx
}

func TestOpenDump_SaysWhatItWasMadeOf(t *testing.T) {
	for name, c := range map[string]struct {
		content                 []byte
		family, server, program string
		archive                 bool
	}{
		"nothing":         {nil, "", "", "", false},
		"SQL":             {[]byte("create table a (n int);"), "", "", "", false},
		"SQL of pg_dump":  {[]byte("--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.3 (Debian)\n-- Dumped by pg_dump version 16.1\n"), "PostgreSQL", "15.3", "16.1", false},
		"custom, 15":      {archiveHead(14, "15.3 (Debian 15.3-0)", "15.3"), "PostgreSQL", "15.3 (Debian 15.3-0)", "15.3", true},
		"custom, 17":      {archiveHead(16, "17.2", "17.2"), "PostgreSQL", "17.2", "17.2", true},
		"custom, packed":  {packed(t, archiveHead(16, "17.2", "17.2")), "PostgreSQL", "17.2", "17.2", true},
		"custom, cut off": {archiveHead(16, "17.2", "17.2")[:30], "PostgreSQL", "", "", true},
		"MariaDB":         {[]byte("/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19-11.4.2-MariaDB\n-- Server version\t11.4.2-MariaDB\n"), "MariaDB", "11.4.2-MariaDB", "", false},
		"MySQL":           {[]byte("-- MySQL dump 10.13  Distrib 8.0.36\n--\n-- Server version\t8.0.36\n"), "MySQL", "8.0.36", "", false},
		"Redis":           {[]byte("REDIS0011\xfa\tredis-ver"), "Redis", "REDIS0011", "", false},
		"Valkey":          {[]byte("VALKEY080\xfa"), "Redis", "VALKEY080", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := open(t, c.content)
			if d.family != c.family || d.server != c.server || d.program != c.program || d.archive != c.archive {
				t.Errorf("it is said to be made of %q %q by %q, archive %v; want %q %q by %q, archive %v", d.family, d.server, d.program, d.archive, c.family, c.server, c.program, c.archive)
			}
		})
	}
}

func TestDump_FitsServersThatAreNotOlder(t *testing.T) {
	for name, c := range map[string]struct {
		dump            dump
		family, version string
		want            string // of the error; "" is none
	}{
		"the same":             {dump{family: "PostgreSQL", server: "15.3"}, "PostgreSQL", "15.20 (Debian)", ""},
		"of another minor":     {dump{family: "PostgreSQL", server: "15.20"}, "PostgreSQL", "15.3", ""},
		"of an older one":      {dump{family: "PostgreSQL", server: "9.6.1"}, "PostgreSQL", "15.3", ""},
		"of a newer one":       {dump{family: "PostgreSQL", server: "17.2"}, "PostgreSQL", "15.3", "made by PostgreSQL 17, and the service runs PostgreSQL 15"},
		"SQL by a newer one":   {dump{family: "PostgreSQL", server: "15.3", program: "17.2"}, "PostgreSQL", "15.3", ""},
		"by a newer pg_dump":   {dump{family: "PostgreSQL", server: "15.3", program: "17.2", archive: true}, "PostgreSQL", "15.3", "made by pg_dump 17, and the service runs PostgreSQL 15"},
		"nobody knows":         {dump{}, "PostgreSQL", "15.3", ""},
		"MariaDB, a series on": {dump{family: "MariaDB", server: "10.11.1-MariaDB"}, "MariaDB", "10.6.2-MariaDB", "made by MariaDB 10.11, and the service runs MariaDB 10.6"},
		"MariaDB, older":       {dump{family: "MariaDB", server: "10.6.9-MariaDB"}, "MariaDB", "10.11.2-MariaDB", ""},
		"MySQL into MariaDB":   {dump{family: "MySQL", server: "8.0.36"}, "MariaDB", "10.11.2-MariaDB", ""},
		"MySQL into another":   {dump{family: "MySQL", server: "8.0.36"}, "PostgreSQL", "15.3", "made of MySQL, and the service runs PostgreSQL"},
		"Redis":                {dump{family: "Redis", server: "REDIS0010"}, "Redis", "REDIS0010", ""},
		"Redis, newer":         {dump{family: "Redis", server: "REDIS0012"}, "Redis", "REDIS0010", "a newer server made it"},
		"Redis into Valkey 9":  {dump{family: "Redis", server: "REDIS0012"}, "Redis", "VALKEY080", ""},
		"SQL into Redis":       {dump{}, "Redis", "REDIS0010", "no .rdb file"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.dump.fits(&server{service: "db"}, c.family, c.version)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("fits said %v, want %q", err, c.want)
			}
		})
	}
}

func TestOpenDump_TellsThatItIsCutOff(t *testing.T) {
	whole := packed(t, bytes.Repeat([]byte("select 1; -- and so on, for longer than what is looked at\n"), 1000))
	d, ctx := open(t, whole[:len(whole)-12])
	_, err := io.Copy(io.Discard, d)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(context.Cause(ctx), io.ErrUnexpectedEOF) {
		t.Errorf("reading ends with %v and the work with %v, want both to say that the dump is cut off", err, context.Cause(ctx))
	}
}

func TestBuild_NamesADumpThatIsNotWhole(t *testing.T) {
	dir := t.TempDir()
	whole := packed(t, bytes.Repeat([]byte("select 1;\n"), 10000))
	broken := bytes.Clone(whole)
	broken[len(broken)-6] ^= 1 // of the checksum
	for name, content := range map[string][]byte{"whole.gz": whole, "plain.sql": []byte("select 1;"), "cut.gz": whole[:len(whole)-12], "short.gz": whole[:5], "broken.gz": broken,
		"cut.sql": []byte("-- MySQL dump 10.13\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range map[string]string{"whole.gz": "", "plain.sql": "", "cut.gz": "it is cut off", "short.gz": "it is cut off", "broken.gz": "invalid checksum", "cut.sql": "it is cut off"} {
		p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop", Files: []string{"-"},
			Stdin: strings.NewReader("services: {db: {image: postgres, x-strake: {seed: {from: " + from + "}}}}")})
		if err != nil {
			t.Fatal(err)
		}
		err = (&build{p: p}).checkDumps(t.Context())
		var hinted compose.Hinted
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "service db: read dump "+from+": ") || !strings.Contains(err.Error(), want) || !errors.As(err, &hinted)) {
			t.Errorf("checkDumps of %s = %v, want %q with a hint", from, err, want)
		}
	}
}

func TestOpenDump_TellsThatSQLIsCutOff(t *testing.T) {
	rows := strings.Repeat("INSERT INTO a VALUES (1);\n", 9000)
	for name, c := range map[string]struct {
		content string
		whole   bool
	}{
		"pg_dump":                 {"--\n-- PostgreSQL database dump\n--\n" + rows + "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict x\n", true},
		"pg_dump, cut off":        {"--\n-- PostgreSQL database dump\n--\n" + rows, false},
		"pg_dump, hardly begun":   {"--\n-- PostgreSQL database dump\n--\n", false},
		"pg_dumpall":              {"--\n-- PostgreSQL database cluster dump\n--\n" + rows + "--\n-- PostgreSQL database cluster dump complete\n--\n", true},
		"pg_dumpall, cut off":     {"--\n-- PostgreSQL database cluster dump\n--\n" + rows + "-- PostgreSQL database dump complete\n", false},
		"mysqldump":               {"-- MySQL dump 10.13\n" + rows + "-- Dump completed on 2026-01-01\n", true},
		"mariadb-dump, cut off":   {"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n" + rows, false},
		"more SQL behind a whole": {"-- MySQL dump 10.13\n-- Dump completed\n" + rows, true},
		"other SQL":               {rows, true},
	} {
		t.Run(name, func(t *testing.T) {
			d, ctx := open(t, []byte(c.content))
			n, err := io.Copy(io.Discard, iotest.OneByteReader(d))
			if (err == nil) != c.whole || (context.Cause(ctx) == nil) != c.whole || n != int64(len(c.content)) {
				t.Errorf("reading ends after %d of %d bytes with %v and the work with %v, want whole = %v", n, len(c.content), err, context.Cause(ctx), c.whole)
			}
		})
	}
}
