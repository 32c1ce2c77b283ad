package standin

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	gomessage "github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// letter is a message as a person reads it. Its JSON names are stable.
type letter struct {
	ID       int       `json:"id"`
	From     string    `json:"from"` // the header, the envelope's where there is none
	To       []string  `json:"to"`   // all that it was sent to, by the envelope
	Subject  string    `json:"subject"`
	Date     time.Time `json:"date"` // when it came
	Size     int       `json:"size"`
	Headers  []header  `json:"headers,omitempty"`
	Text     string    `json:"text,omitempty"`
	HTML     string    `json:"html,omitempty"`
	Parts    []file    `json:"attachments"`
	Problem  string    `json:"problem,omitempty"` // what of it could not be read
	inlineID map[string]int
}

// header is one line of a message's head, decoded.
type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// file is an attachment, or a picture that the text shows.
type file struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Size int    `json:"size"`
	body []byte
}

// read is a message as a person reads it. What cannot be read of it is a Problem, and the rest is there.
func (m message) read() letter {
	l := letter{ID: m.id, From: m.from, To: m.to, Date: m.received, Size: len(m.raw), Parts: []file{}, inlineID: map[string]int{}}
	r, err := mail.CreateReader(bytes.NewReader(m.raw))
	if r == nil {
		l.Text, l.Problem = string(m.raw), fmt.Sprint("its head cannot be read: ", err)
		return l
	}
	words := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		c, err := charsetOf(charset)
		if err != nil {
			return nil, err
		}
		return c.NewDecoder().Reader(r), nil
	}}
	text := func(value string) string {
		if decoded, err := words.DecodeHeader(value); err == nil {
			return decoded
		}
		return value // as it is written
	}
	for f := r.Header.Fields(); f.Next(); {
		l.Headers = append(l.Headers, header{f.Key(), text(f.Value())})
	}
	if from := text(r.Header.Get("From")); from != "" {
		l.From = from
	}
	l.Subject = text(r.Header.Get("Subject"))
	for {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return l
		}
		if err != nil && !(gomessage.IsUnknownCharset(err) && p != nil) {
			l.Problem = fmt.Sprint("a part cannot be read: ", err)
			return l
		}
		if err := l.add(p); err != nil {
			l.Problem = fmt.Sprint("a part cannot be read: ", err)
		}
	}
}

// add adds a part: the first text and the first HTML that are no attachments are the message, all else is a file.
func (l *letter) add(p *mail.Part) error {
	kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	body, err := io.ReadAll(p.Body)
	if strings.HasPrefix(kind, "text/") && err == nil {
		body, err = inUTF8(body, params["charset"])
	}
	name := params["name"]
	attached, isAttachment := p.Header.(*mail.AttachmentHeader)
	if isAttachment {
		if n, err := attached.Filename(); err == nil && n != "" {
			name = n
		}
	}
	switch {
	case !isAttachment && kind == "text/plain" && l.Text == "" && name == "":
		l.Text = string(body)
	case !isAttachment && kind == "text/html" && l.HTML == "" && name == "":
		l.HTML = string(body)
	default:
		if id := strings.Trim(p.Header.Get("Content-Id"), "<>"); id != "" {
			l.inlineID[id] = len(l.Parts)
		}
		l.Parts = append(l.Parts, file{Name: name, Type: kind, Size: len(body), body: body})
	}
	return err
}

// inUTF8 is a text of a character set as UTF-8, and the text as it is with an error where that is not known. UTF-8 itself is read as it is.
func inUTF8(text []byte, charset string) ([]byte, error) {
	if utf8.Valid(text) {
		return text, nil
	}
	c, err := charsetOf(charset)
	if err != nil {
		return text, err
	}
	return c.NewDecoder().Bytes(text)
}

// charsetOf finds one of the character sets of one byte a letter. Those of more would weigh as much as all else that reads mail, and programs
// of today write UTF-8.
// Source: IANA, Character Sets, preferred MIME names.
func charsetOf(name string) (encoding.Encoding, error) {
	plain := func(s string) string {
		return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	}
	wanted := plain(name)
	switch wanted {
	case "latin1", "usascii", "":
		wanted = "iso88591"
	}
	if n, ok := strings.CutPrefix(wanted, "cp125"); ok {
		wanted = "windows125" + n
	}
	for _, c := range charmap.All {
		if said, ok := c.(fmt.Stringer); ok && plain(said.String()) == wanted {
			return c, nil
		}
	}
	return nil, fmt.Errorf("the character set %q is not known", name)
}

// mostShown is the largest that a message's HTML gets by the pictures in it, in bytes: one that names a picture often would fill the memory.
const mostShown = 64 << 20

// shown is the message's HTML with the pictures that came with it in it, so that nothing has to be asked for; without them where it would get
// too large.
func (l letter) shown() string {
	ids := slices.SortedFunc(maps.Keys(l.inlineID), func(a, b string) int { // the longest first, as img1 begins as img10 does
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	var pairs []string
	for _, id := range ids {
		part := l.Parts[l.inlineID[id]]
		pairs = append(pairs, "cid:"+id, "data:"+part.Type+";base64,"+base64.StdEncoding.EncodeToString(part.body))
	}
	out := limited{left: mostShown}
	if _, err := strings.NewReplacer(pairs...).WriteString(&out, l.HTML); err != nil {
		return l.HTML
	}
	return out.String()
}

// limited is a text that takes so many bytes more.
type limited struct {
	strings.Builder
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, errors.New("it gets too large")
	}
	return l.Builder.Write(b)
}

func (l *limited) WriteString(s string) (int, error) {
	if l.left -= len(s); l.left < 0 {
		return 0, errors.New("it gets too large")
	}
	return l.Builder.WriteString(s)
}

// Begin is how the text begins, for the list.
func (l letter) Begin() string {
	words := []rune(strings.Join(strings.Fields(l.Text), " "))
	return string(words[:min(len(words), 160)])
}
