package previews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Files of a record container.
const (
	recordFile = "preview.json" // a Record, written while the claim is held
	wantedFile = "wanted.json"  // wanted, written by whoever opens
	visitFile  = "visit.json"   // a time, written by who watches the gateway
)

// recordName is the name of a preview's record container.
func recordName(stack string) string { return "strake-preview-" + stack }

// write keeps a record.
func (m *Manager) write(ctx context.Context, r *Record) error {
	r.Version = recordVersion
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := m.Host.Keep(ctx, recordName(r.Stack), recordLabels(r), map[string][]byte{recordFile: text}); err != nil {
		return fmt.Errorf("write the record of preview %s: %w", r.ID, err)
	}
	return nil
}

func recordLabels(r *Record) map[string]string {
	return map[string]string{LabelRecord: r.Stack, LabelPreview: r.Stack, labelProject: r.Project}
}

// labelProject is on record containers: the project of the preview.
const labelProject = "dev.strake.preview.project"

// errCut is what a record is whose writer, or whose engine, died.
var errCut = errors.New("it is cut short; strake preview close removes what is there")

// readPatience is how often a record that is just being written is read again.
const readPatience = 5

// read reads a record; fs.ErrNotExist where there is none.
func (m *Manager) read(ctx context.Context, stack string) (*Record, error) {
	var r Record
	if err := m.readFile(ctx, stack, recordFile, &r); err != nil {
		return nil, err
	}
	if r.Version > recordVersion {
		return nil, &compose.HintedError{Err: fmt.Errorf("preview %s was made by a newer strake", r.ID), Next: "update strake"}
	}
	if r.Stack != stack {
		return nil, fmt.Errorf("record container %s holds the record of %s", recordName(stack), r.Stack)
	}
	return &r, nil
}

// foreign says that a stack is another project's: names of projects and branches can add up to the same.
func foreign(r *Record, project string) error {
	return &compose.HintedError{Err: fmt.Errorf("stack %s is preview %s of project %s, not of %s", r.Stack, r.ID, r.Project, project),
		Next: "give one of the projects another name (name: in the file, or -p)"}
}

// readFile reads a file of a record into v. One that is cut short is being written, or its writer died.
func (m *Manager) readFile(ctx context.Context, stack, file string, v any) (err error) {
	for n := range readPatience {
		var text []byte
		if text, err = m.Host.Kept(ctx, recordName(stack), file); err == nil {
			if err = json.Unmarshal(text, v); err == nil {
				return nil
			}
			err = fmt.Errorf("read %s of record %s: %w: %w", file, recordName(stack), errCut, err)
		}
		if errors.Is(err, fs.ErrNotExist) && n > 0 || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
}

// stacks are the stacks of all previews on the host that have a record, and those of which only parts are there, sorted.
// project selects those of one project; "" takes all.
func (m *Manager) stacks(ctx context.Context, project string) (recorded, orphans []string, err error) {
	state, err := m.Host.Observe(ctx, compose.Scope{Label: LabelPreview})
	if err != nil {
		return nil, nil, err
	}
	var all []string
	add := func(labels map[string]string) {
		if stack := labels[LabelPreview]; IsOf(stack, labels[compose.LabelProject]) && (project == "" || labels[labelProject] == project) {
			all = append(all, stack)
		}
	}
	for _, c := range state.Containers {
		stack := c.Labels[LabelPreview]
		if c.Labels[LabelRecord] == stack && c.Name == recordName(stack) {
			if project == "" || c.Labels[labelProject] == project {
				recorded = append(recorded, stack)
			}
		}
		add(c.Labels)
	}
	for _, n := range state.Networks {
		add(n.Labels)
	}
	for _, v := range state.Volumes {
		add(v.Labels)
	}
	slices.Sort(all)
	for _, stack := range slices.Compact(all) {
		known := slices.ContainsFunc(state.Containers, func(c compose.Container) bool { return c.Name == recordName(stack) })
		if !known {
			orphans = append(orphans, stack)
		}
	}
	slices.Sort(recorded)
	return slices.Compact(recorded), orphans, nil
}

// Records are the records of a project's previews, "" for all on the host, by stack. With an error of one that cannot be read it returns the
// others.
func (m *Manager) Records(ctx context.Context, project string) ([]*Record, error) {
	stacks, _, err := m.stacks(ctx, project)
	if err != nil {
		return nil, err
	}
	return m.records(ctx, stacks)
}

// records reads the records of stacks; one that is gone meanwhile is left out.
func (m *Manager) records(ctx context.Context, stacks []string) ([]*Record, error) {
	all := []*Record{}
	var errs []error
	for _, stack := range stacks {
		r, err := m.read(ctx, stack)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, r)
		}
	}
	return all, errors.Join(errs...)
}

// observe looks at all that belongs to a preview but its record.
func (m *Manager) observe(ctx context.Context, stack string) (compose.State, error) {
	state, err := m.Host.Observe(ctx, compose.Scope{Label: LabelPreview + "=" + stack})
	foreign := func(labels map[string]string) bool { return !IsOf(stack, labels[compose.LabelProject]) }
	state.Containers = slices.DeleteFunc(state.Containers, func(c compose.Container) bool { return foreign(c.Labels) })
	state.Networks = slices.DeleteFunc(state.Networks, func(n compose.Network) bool { return foreign(n.Labels) })
	state.Volumes = slices.DeleteFunc(state.Volumes, func(v compose.Volume) bool { return foreign(v.Labels) })
	return state, err
}
