package previews

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Manager opens, updates, looks at and closes the previews of one project on one host. All fields but Note and Named must be set.
type Manager struct {
	Host    Host
	Router  Router
	Seeds   Seeds
	Sources Sources
	// HostName is what Preview.Host says: "local".
	HostName string
	// Claim says who asks, and how a claim that is held by another is waited for. Its Run is how plans are run.
	Claim   compose.ConvergeOptions
	Version string // of strake
	Now     func() time.Time
	// Note is told what is being done; nil drops it.
	Note func(text string)
	// Named is told the hosts under which visitors will find a preview, before it is made; nil is nobody. An error of it ends the open.
	Named func(ctx context.Context, hosts []string) error
	// Inputs says where hashes of build inputs are cached.
	Inputs compose.InputOptions
}

func (m *Manager) note(format string, args ...any) {
	if m.Note != nil {
		m.Note(fmt.Sprintf(format, args...))
	}
}

// do runs a plan on a compose project of a preview whose claim is held.
func (m *Manager) do(ctx context.Context, h compose.Host, project string, p compose.Plan) error {
	if m.Claim.Planned != nil {
		m.Claim.Planned(p, compose.State{Project: project})
	}
	o := m.Claim.Run
	o.Project = project
	return compose.Run(ctx, h, p, o)
}

// ErrNoPreview is returned, in a *compose.HintedError, for a preview that is not there.
var ErrNoPreview = errors.New("there is no preview")

// Show is a preview by its ID; ErrNoPreview where there is none.
func (m *Manager) Show(ctx context.Context, project, id string) (Preview, error) {
	r, err := m.find(ctx, project, id)
	if err != nil {
		return Preview{}, err
	}
	return m.visited(ctx, r)
}

// Measure finds out the Size of a preview, which may take the engine seconds.
func (m *Manager) Measure(ctx context.Context, p *Preview) (err error) {
	p.Size, err = m.Host.Size(ctx, LabelPreview+"="+p.Stack)
	return err
}

// find is the record of a preview by its ID.
func (m *Manager) find(ctx context.Context, project, id string) (*Record, error) {
	r, err := m.read(ctx, project+"-"+id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &compose.HintedError{Err: fmt.Errorf("%w %s of %s", ErrNoPreview, id, project), Next: "strake preview list shows those that are there"}
	}
	if err == nil && r.Project != project {
		return nil, foreign(r, project)
	}
	return r, err
}

// List are the previews of a project, "" for all on the host, by stack.
func (m *Manager) List(ctx context.Context, project string) ([]Preview, error) {
	records, err := m.Records(ctx, project)
	if err != nil {
		return nil, err
	}
	all := []Preview{}
	for _, r := range records {
		p, err := m.visited(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// visited is the preview of a record with its last visit.
func (m *Manager) visited(ctx context.Context, r *Record) (Preview, error) {
	p := r.Preview
	err := m.readFile(ctx, r.Stack, visitFile, &p.LastVisit)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return p, err
}

// Visited writes down when a stack was last visited; fs.ErrNotExist where it is gone.
func (m *Manager) Visited(ctx context.Context, stack string, at time.Time) error {
	text, err := at.UTC().MarshalJSON()
	if err != nil {
		return err
	}
	return m.Host.Keep(ctx, recordName(stack), nil, map[string][]byte{visitFile: text})
}

// Extend moves the end of a preview's lease to as far from now, not beyond its Ends, and returns where it is then.
func (m *Manager) Extend(ctx context.Context, project, id string, by time.Duration) (time.Time, error) {
	r, err := m.find(ctx, project, id)
	if err != nil {
		return time.Time{}, err
	}
	err = compose.Hold(ctx, m.Host, r.Stack, m.Claim, func(compose.Host) error {
		if r, err = m.find(ctx, project, id); err != nil {
			return err
		}
		if r.State == Closing {
			return &compose.HintedError{Err: fmt.Errorf("preview %s is being closed", id), Next: "open it again"}
		}
		r.extend(m.Now(), by)
		return m.write(ctx, r)
	})
	if err != nil {
		return time.Time{}, err
	}
	return r.Expires, nil
}

// extend gives the lease so long from now, within what it may last at all; it never becomes shorter.
func (r *Record) extend(now time.Time, by time.Duration) {
	end := now.Add(by).UTC()
	if end.After(r.Ends) {
		end = r.Ends
	}
	if end.After(r.Expires) {
		r.Expires = end
	}
}

// Entry is what lets a visitor in: the way, and the key that signs links.
func (m *Manager) Entry(ctx context.Context, project, id string) (access compose.Access, key []byte, err error) {
	r, err := m.find(ctx, project, id)
	if err != nil {
		return "", nil, err
	}
	return compose.Access(r.Access), r.Key, nil
}
