package standin_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// withPictures are the lines of a message in HTML with pictures of an id each, that hold it.
func withPictures(html string, ids ...string) []string {
	lines := []string{"Content-Type: multipart/related; boundary=r", "", "--r", "Content-Type: text/html", "", html}
	for _, id := range ids {
		lines = append(lines, "--r", "Content-Type: image/png", "Content-Disposition: inline", "Content-Id: <"+id+">", "", "is "+id)
	}
	return append(lines, "--r--")
}

func TestMail_TellsPicturesApartWhoseIDsBeginAlike(t *testing.T) {
	p := newPostbox(t)
	var ids []string
	var html strings.Builder
	for i := range 12 {
		ids = append(ids, fmt.Sprint("img", i))
		fmt.Fprintf(&html, "<img src='cid:img%d'>", i)
	}
	p.send(nil, []string{"a@b.c"}, withPictures(html.String(), ids...)...)
	_, text, _ := ask(t, "GET", p.page+"/m/1/html", "")
	for range 10 { // of a map the order differs
		_, again, _ := ask(t, "GET", p.page+"/m/1/html", "")
		if again != text {
			t.Fatalf("the page is another one when it is asked for again:\n%s\n%s", text, again)
		}
	}
	if strings.Contains(text, "cid:") || strings.Count(text, "aXMgaW1nMQ==") != 1 || strings.Count(text, "aXMgaW1nMTE=") != 1 {
		t.Errorf("the page is\n%s\nwant each picture once", text)
	}
}

// TestMail_ShowsNoPicturesWithoutEnd: a small message that names a large picture often.
func TestMail_ShowsNoPicturesWithoutEnd(t *testing.T) {
	p := newPostbox(t)
	lines := withPictures(strings.Repeat("<img src='cid:a'>\r\n", 1000), "a")
	lines[len(lines)-2] = strings.Repeat(strings.Repeat("x", 500)+"\r\n", 300)
	p.send(nil, []string{"a@b.c"}, lines...)
	if _, text, _ := ask(t, "GET", p.page+"/m/1/html", ""); len(text) > 64<<20+1000 || !strings.Contains(text, "cid:a") {
		t.Errorf("the page has %d bytes, want the HTML as it came", len(text))
	}
}

func TestMail_CountsWhatItSaysOfMessages(t *testing.T) {
	p := newPostbox(t)
	var many []string // of which each is shorter than what is kept of it
	for range mailRoom / 2 / 16 {
		many = append(many, "--r", "", "", "")
	}
	for range 3 {
		p.send(nil, []string{"a@b.c"}, append(append([]string{"Content-Type: multipart/mixed; boundary=r", ""}, many...), "--r--")...)
	}
	if all := p.list(); len(all) != 1 {
		t.Errorf("of messages of many parts %d are kept, want the newest", len(all))
	}
}

func TestMail_TalksToSoManyAtATime(t *testing.T) {
	p := newPostbox(t)
	greeted := func(c net.Conn, within time.Duration) error {
		if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
			return err
		}
		_, err := bufio.NewReader(c).ReadString('\n')
		return err
	}
	var all []net.Conn
	for range 33 {
		c, err := net.Dial("tcp", p.smtp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() // only asked
		all = append(all, c)
	}
	for i, c := range all[:32] {
		if err := greeted(c, 10*time.Second); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	if err := greeted(all[32], 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("connection 33 beside 32 others = %v, want it to wait", err)
	}
	if err := all[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := greeted(all[32], 10*time.Second); err != nil {
		t.Errorf("connection 33 after another has ended: %v", err)
	}
}
