package standin

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	gomessage "github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // so that texts in any character set are read
	"github.com/emersion/go-message/mail"
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
	for f := r.Header.Fields(); f.Next(); {
		value, err := f.Text()
		if err != nil {
			value = f.Value()
		}
		l.Headers = append(l.Headers, header{f.Key(), value})
	}
	if from, err := r.Header.Text("From"); err == nil && from != "" {
		l.From = from
	}
	l.Subject, _ = r.Header.Text("Subject") // as it is written where it is encoded wrongly
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

// shown is the message's HTML with the pictures that came with it in it, so that nothing has to be asked for.
func (l letter) shown() string {
	var pairs []string
	for id, i := range l.inlineID {
		pairs = append(pairs, "cid:"+id, "data:"+l.Parts[i].Type+";base64,"+base64.StdEncoding.EncodeToString(l.Parts[i].body))
	}
	return strings.NewReplacer(pairs...).Replace(l.HTML)
}

// Begin is how the text begins, for the list.
func (l letter) Begin() string {
	words := []rune(strings.Join(strings.Fields(l.Text), " "))
	return string(words[:min(len(words), 160)])
}
