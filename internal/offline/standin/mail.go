package standin

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"
)

// What Mail keeps at most if nothing else is said. A message that is larger than largestMessage is refused; of more than mostSessions at a
// time, which all may hold one in memory, the others wait.
const (
	mostSessions   = 32
	mostMessages   = 1000
	mostBytes      = 256 << 20
	largestMessage = 32 << 20
)

// MailOptions say what a Mail is told. Now and Log are needed.
type MailOptions struct {
	// Most is how many bytes of messages, and of what the list says of them, are kept, with 1000 messages at most; the oldest goes first. 0 is 256 MiB.
	Most int
	// AnyHost is that something before the page has looked which host is asked, as the gateway of previews does. Else only names that lead to
	// this machine or to the stack are answered: a page elsewhere whose own name leads here reads nothing.
	AnyHost bool
	Now     func() time.Time
	Log     *slog.Logger
}

// Mail takes every message that is sent to it, keeps it in memory and delivers nothing: it shows them on a page (ServeHTTP), with any name
// and password or none.
type Mail struct {
	MailOptions
	pages http.Handler
	mu    sync.Mutex
	last  int // the number of the newest message
	size  int // of all, in bytes
	all   []message
}

// message is a message as it came.
type message struct {
	id       int
	from     string   // of its envelope
	to       []string // of its envelope, copies that it does not name too
	received time.Time
	raw      []byte
	summary  letter // for the list: without headers, HTML and what is in its files
}

// weight is about how many bytes of memory a message takes.
func (m message) weight() int {
	l := m.summary
	n := len(m.raw) + len(m.from) + len(l.From) + len(l.Subject) + len(l.Text) + len(l.Problem) + 512
	for _, to := range m.to {
		n += len(to) + 16
	}
	for _, p := range l.Parts {
		n += len(p.Name) + len(p.Type) + 64
	}
	return n
}

// NewMail is a Mail without messages.
func NewMail(o MailOptions) *Mail {
	m := &Mail{MailOptions: o}
	m.Most = cmp.Or(m.Most, mostBytes)
	m.pages = m.handler()
	return m
}

// keep adds a message, and drops the oldest ones where they become too many.
func (m *Mail) keep(one message) {
	l := one.read()
	l.Text, l.HTML, l.Headers, l.inlineID = l.Begin(), "", nil, nil
	for i := range l.Parts {
		l.Parts[i].body = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	one.id, l.ID = m.last, m.last
	one.summary = l
	m.all, m.size = append(m.all, one), m.size+one.weight()
	for len(m.all) > mostMessages || m.size > m.Most && len(m.all) > 1 {
		m.size -= m.all[0].weight()
		m.all = slices.Delete(m.all, 0, 1)
	}
}

// messages are those that are there, the newest first.
func (m *Mail) messages() []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.all)
	slices.Reverse(all)
	return all
}

// message is the one of a number.
func (m *Mail) message(id string) (message, bool) {
	n, err := strconv.Atoi(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.all, func(one message) bool { return one.id == n })
	if err != nil || i < 0 {
		return message{}, false
	}
	return m.all[i], true
}

// drop removes the message of a number, or all for "".
func (m *Mail) drop(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(one message) bool { return id == "" || strconv.Itoa(one.id) == id })
	m.size = 0
	for _, one := range m.all {
		m.size += one.weight()
	}
}

// ServeSMTP takes messages from l until ctx ends; it closes l.
func (m *Mail) ServeSMTP(ctx context.Context, l net.Listener) error {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{mail: m}, nil }))
	s.Domain, s.AllowInsecureAuth, s.EnableSMTPUTF8 = "mail", true, true
	s.MaxMessageBytes, s.MaxRecipients, s.MaxLineLength = largestMessage, 1000, 1<<20 // programs write whole pages in a line
	s.ReadTimeout, s.WriteTimeout = 5*time.Minute, time.Minute
	s.ErrorLog = slog.NewLogLogger(m.Log.Handler(), slog.LevelWarn)
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // a message that is half there is nobody's
	defer stop()
	err := s.Serve(netutil.LimitListener(l, mostSessions))
	if errors.Is(err, smtp.ErrServerClosed) || ctx.Err() != nil {
		return nil
	}
	return err
}

// ServeMail takes messages at one address and shows them at another, until ctx ends.
func ServeMail(ctx context.Context, smtpAddress, pageAddress string, o MailOptions) error {
	m := NewMail(o)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", smtpAddress)
	if err != nil {
		return err
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel() // without one of them the other is of no use
		ended <- m.ServeSMTP(both, l)
	}()
	err = serve(both, pageAddress, m)
	cancel()
	return errors.Join(err, <-ended)
}

// mailSession is one connection.
type mailSession struct {
	mail *Mail
	from string
	to   []string
}

var _ smtp.AuthSession = (*mailSession)(nil)

func (s *mailSession) Reset()        { s.from, s.to = "", nil }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.keep(message{from: s.from, to: slices.Clone(s.to), received: s.mail.Now().UTC(), raw: raw})
	return nil
}

// AuthMechanisms are those that programs know, which are told by their own settings to sign in.
func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }

// Auth takes whoever comes.
func (s *mailSession) Auth(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(string, string, string) error { return nil }), nil
	case sasl.Login:
		return &loginServer{}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// loginServer asks for a name and a password, and takes any.
// Source: draft-murchison-sasl-login-00.
type loginServer struct{ asked int }

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if l.asked == 0 && response != nil {
		l.asked++ // the name came with the command
	}
	l.asked++
	switch l.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		return []byte("Password:"), false, nil
	}
	return nil, true, nil
}
