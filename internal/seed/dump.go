package seed

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// dump is the data that a server is fed, unpacked.
type dump struct {
	io.Reader
	io.Closer
	name string
	// archive is whether it is for pg_restore: pg_dump's custom or tar format.
	archive bool
	// family is the kind of server that it was made of, server that one's version, program that of the program that made it;
	// "" where it does not say.
	family, server, program string
	// checked is whether its own form tells, at its end, that it is cut off or broken.
	checked bool
}

// dumpHead is how much of a dump's beginning is looked at.
const dumpHead = 4 << 10

// openDump opens the dump that from names, of which fact is known. What it is it says by its first bytes. When it cannot be read
// to its end, cancel is told why: the server that reads it must not take that for its end.
func (b *build) openDump(ctx context.Context, from, fact string, cancel context.CancelCauseFunc) (*dump, error) {
	o, remote, err := objectOf(from)
	if err != nil {
		return nil, err
	}
	var f io.ReadCloser
	if remote {
		f, err = o.open(ctx, fact)
	} else {
		f, err = os.Open(dumpPath(b.p, from))
	}
	if err != nil {
		return nil, err
	}
	return readDump(f, from, cancel)
}

// readDump is the dump in f, which it closes where there is an error.
func readDump(f io.ReadCloser, name string, cancel context.CancelCauseFunc) (*dump, error) {
	packed := bufio.NewReader(f)
	in, err := unpacked(packed)
	if err != nil {
		return nil, errors.Join(brokenDump(err), f.Close())
	}
	r := bufio.NewReaderSize(in, dumpHead)
	head, err := r.Peek(dumpHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(brokenDump(err), f.Close())
	}
	last := lastLine(head)
	d := &dump{Reader: &told{Reader: r, cancel: cancel, name: name, last: last}, Closer: f, name: name, checked: last != "" || in != io.Reader(packed)}
	d.identify(head)
	return d, nil
}

// brokenDump is what reading a dump ended with, with what to do about it.
func brokenDump(err error) error {
	var hinted compose.Hinted
	if errors.As(err, &hinted) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it is cut off: %w", err)
	}
	return &compose.HintedError{Err: err, Next: "make the dump, or copy it, again"}
}

// checkDumps reads the dumps in files to their ends, where these tell whether they are whole: that is quick beside what a server takes to
// restore half of one.
func (b *build) checkDumps(ctx context.Context) error {
	for _, name := range Services(b.p) {
		from := b.p.Settings.Services[name].Seed.From
		if _, remote, err := objectOf(from); from == "" || remote || err != nil {
			continue // what is in S3 is streamed once, into the server
		}
		if err := b.checkWhole(ctx, from); err != nil {
			return fmt.Errorf("service %s: %w", name, err)
		}
	}
	return nil
}

// checkWhole is checkDumps of one file.
func (b *build) checkWhole(ctx context.Context, from string) error {
	d, err := b.openDump(ctx, from, "", func(error) {})
	if err != nil {
		return fmt.Errorf("read dump %s: %w", from, err)
	}
	defer d.Close() // it is only read
	if !d.checked {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = d.Close() }) // so that the read ends
	defer stop()
	if _, err = io.Copy(io.Discard, d.Reader); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// unpacked is what a reader holds, without gzip or zstd around it.
func unpacked(r *bufio.Reader) (io.Reader, error) {
	magic, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(r)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) // which needs no end: there are no goroutines
	}
	return r, nil
}

// told passes on what it reads, and tells of a failure.
type told struct {
	io.Reader
	cancel context.CancelCauseFunc
	name   string
	last   string // the dump is cut off unless this is in it; "": nothing tells
	before []byte // the end of what was read, in which last may begin
}

func (t *told) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if t.last != "" {
		seen := append(t.before, p[:n]...)
		t.before = slices.Clone(seen[max(0, len(seen)-len(t.last)+1):])
		if bytes.Contains(seen, []byte(t.last)) {
			t.last = ""
		}
	}
	if errors.Is(err, io.EOF) && t.last != "" {
		err = &compose.HintedError{Err: fmt.Errorf("it is cut off: it does not say %q, as it would at its end", t.last), Next: "make the dump, or copy it, again"}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read dump %s: %w", t.name, brokenDump(err))
		t.cancel(err)
	}
	return n, err
}

// lastLine is what a dump in SQL with such a beginning says at its end, "" where nothing does: a server takes half of one for a whole.
// Source: pg_dump (pg_backup_archiver.c, RestoreArchive), pg_dumpall, mysqldump and mariadb-dump (write_footer).
func lastLine(head []byte) string {
	for _, of := range []struct{ first, last string }{
		{"-- PostgreSQL database cluster dump", "-- PostgreSQL database cluster dump complete"},
		{"-- PostgreSQL database dump", "-- PostgreSQL database dump complete"},
		{"-- MariaDB dump", "-- Dump completed"},
		{"-- MySQL dump", "-- Dump completed"},
	} {
		if bytes.HasPrefix(head, []byte(of.first)) || bytes.Contains(head, []byte("\n"+of.first)) {
			return of.last
		}
	}
	return ""
}

// What dumps in SQL say of where they come from.
var (
	pgServerLine  = regex.New(`(?m)^-- Dumped from database version (\S+)`)
	pgProgramLine = regex.New(`(?m)^-- Dumped by pg_dump version (\S+)`)
	myProgramLine = regex.New(`(?m)^-- (?:MariaDB|MySQL) dump (\S+)`)
	myServerLine  = regex.New(`(?m)^-- Server version\s+(\S+)`)
	redisHead     = regex.New(`^(REDIS|VALKEY)(\d{3,4})`)
)

// identify reads what the dump's beginning says of it.
func (d *dump) identify(head []byte) {
	first := func(line *regex.Regex) string {
		if m := line.FindSubmatch(head); m != nil {
			return string(m[1])
		}
		return ""
	}
	switch {
	case bytes.HasPrefix(head, []byte("PGDMP")):
		d.archive, d.family = true, "PostgreSQL"
		d.server, d.program = archiveVersions(head)
	case bytes.HasPrefix(head, []byte("toc.dat\x00")): // pg_dump's tar format
		d.archive, d.family = true, "PostgreSQL"
		d.server, d.program = archiveVersions(head[min(512, len(head)):])
	case redisHead.Match(head):
		d.family, d.server = "Redis", string(redisHead.Find(head))
	case pgServerLine.Match(head):
		d.family, d.server, d.program = "PostgreSQL", first(pgServerLine), first(pgProgramLine)
	case myProgramLine.Match(head):
		d.family, d.server = "MySQL", first(myServerLine)
		if strings.Contains(d.server, "MariaDB") {
			d.family = "MariaDB"
		}
	}
}

// archiveVersions are the versions of the server and of pg_dump in the head of one of its archives; "" where it is not understood.
// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, ReadHead.
func archiveVersions(head []byte) (server, program string) {
	r := bytes.NewReader(head)
	fixed := make([]byte, 11) // PGDMP, version (3), size of integers, size of offsets, format
	if _, err := io.ReadFull(r, fixed); err != nil || fixed[8] < 1 || fixed[8] > 8 {
		return "", ""
	}
	number := func() int { // a sign and the bytes, the lowest first
		raw := make([]byte, 1+int(fixed[8]))
		_, _ = io.ReadFull(r, raw) // what is cut off reads as zeros
		return int(binary.LittleEndian.Uint64(append(raw[1:], make([]byte, 8)...)))
	}
	text := func() string {
		raw := make([]byte, min(max(number(), 0), r.Len()))
		_, _ = io.ReadFull(r, raw) // as many as there are
		return string(raw)
	}
	if fixed[6] >= 15 { // 1.15 has the compression's algorithm, before it was its level
		_, _ = r.ReadByte()
	} else {
		number()
	}
	for range 7 { // the time
		number()
	}
	text() // the database
	return text(), text()
}

// fits refuses a dump that was not made for the server: one of another kind, or of a newer version. version is the server's own, as
// it says it; of Redis it is what its files begin with.
func (d *dump) fits(s *server, family, version string) error {
	refuse := func(next, format string, args ...any) error {
		return &StepError{Service: s.service, Doing: "restore " + d.name, Err: &compose.HintedError{Err: fmt.Errorf(format, args...), Next: next}}
	}
	sql := []string{"", "MariaDB", "MySQL"}
	switch {
	case family == "Redis" && d.family != family:
		return refuse("SAVE on a server makes one: its dump.rdb", "it is no .rdb file, and the service runs %s", family)
	case d.family != "" && d.family != family && !(slices.Contains(sql, d.family) && slices.Contains(sql, family)):
		return refuse("name a dump that was made for "+family, "the dump was made of %s, and the service runs %s", d.family, family)
	case family == "Redis" && isNewer(d.server, version, 1):
		return refuse("run an image of the version that made it, or newer", "the dump is in format %s, and the service's server writes %s: a newer server made it", d.server, version)
	case family == "Redis" || d.family != family:
		return nil
	}
	series := map[bool]int{true: 1, false: 2}[family == "PostgreSQL"] // numbers of a version that stand for what its files are like
	made := d.family + " " + seriesOf(d.server, series)
	if d.archive && isNewer(d.program, cmp.Or(d.server, "0"), series) {
		made = "pg_dump " + seriesOf(d.program, series)
	}
	if isNewer(d.server, version, series) || d.archive && isNewer(d.program, version, series) {
		return refuse("run an image of that version, or make the dump with the version that the service runs",
			"the dump was made by %s, and the service runs %s %s, which cannot be relied on to read it", made, family, seriesOf(version, series))
	}
	return nil
}

var digits = regex.New(`\d+`)

// seriesOf is the first numbers of a version.
func seriesOf(version string, numbers int) string {
	found := digits.FindAllString(version, numbers)
	return strings.Join(found, ".")
}

// isNewer is whether a version is newer than another, as far as some first numbers of them go.
func isNewer(a, b string, numbers int) bool {
	of := func(version string) (all []int) {
		for _, text := range digits.FindAllString(version, numbers) {
			n, _ := strconv.Atoi(text) // too long a number is the highest
			all = append(all, n)
		}
		return all
	}
	return slices.Compare(of(a), of(b)) > 0
}
