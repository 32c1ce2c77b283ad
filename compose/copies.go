package compose

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Copy is a bind mount of a service whose source lies in the project, or the file of a secret or config that does. An engine on another
// machine (Engine.Remote) cannot mount it: the source's content is put into each container before it starts.
type Copy struct {
	What     string // what names it, for people: "the mount at /app of service web"
	Source   string // on this machine, absolute
	Target   string // in the container, absolute
	ReadOnly bool
	// Create takes a source that is not there for an empty folder (bind.create_host_path).
	Create bool
}

// Copied is what was read of the copies of a service.
type Copied struct {
	// Digest is of where they go and of all that they hold: paths, modes, owners, links and contents, but no times.
	Digest string
	// Files are the targets of the copies that are no folders, sorted.
	Files []string
	// Problem is why they cannot be made, a *HintedError; nil: they can.
	Problem error
}

// IsOwn is whether a path is the project's own: its folder or below it, or, of a project that was loaded with a Root, that folder. The path
// is taken as it is written: a symbolic link is the project's own, wherever it leads.
func (p *Project) IsOwn(name string) bool {
	root := cmp.Or(p.root, p.WorkingDir)
	return root != "" && isIn(filepath.Clean(root), p.absolute(name))
}

// absolute is a path of the files.
func (p *Project) absolute(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(p.WorkingDir, name)
}

// CopyOf is the copy that stands for a bind mount of a service on another machine's engine; false where the source is not the project's own:
// then it is a path of that machine.
func (p *Project) CopyOf(service string, v ServiceVolume) (Copy, bool) {
	if v.Type != types.VolumeTypeBind || v.Source == "" || !p.IsOwn(v.Source) {
		return Copy{}, false
	}
	return Copy{What: "the mount at " + v.Target + " of service " + service, Source: p.absolute(v.Source), Target: path.Clean(v.Target),
		ReadOnly: v.ReadOnly, Create: v.Bind == nil || bool(v.Bind.CreateHostPath)}, true
}

// fileCopy is the copy that stands for the file of a secret or config of a service; see CopyOf. kind is "secret" or "config".
func (p *Project) fileCopy(service, kind string, r FileReference, o FileObject) (Copy, bool) {
	if o.File == "" || o.Content != "" || o.Environment != "" || !p.IsOwn(o.File) {
		return Copy{}, false
	}
	target := SecretTarget(r)
	if kind == "config" {
		target = ConfigTarget(r)
	}
	return Copy{What: kind + " " + r.Source + " of service " + service, Source: p.absolute(o.File), Target: path.Clean(target), ReadOnly: true}, true
}

// copiesOf are the copies that a service has on another machine's engine, in the order of their targets.
func copiesOf(p *Project, s Service) []Copy {
	var all []Copy
	add := func(c Copy, ok bool) {
		if ok {
			all = append(all, c)
		}
	}
	for _, v := range s.Volumes {
		add(p.CopyOf(s.Name, v))
	}
	for _, r := range s.Secrets {
		add(p.fileCopy(s.Name, "secret", FileReference(r), FileObject(p.Secrets[r.Source])))
	}
	for _, r := range s.Configs {
		add(p.fileCopy(s.Name, "config", FileReference(r), FileObject(p.Configs[r.Source])))
	}
	slices.SortStableFunc(all, func(a, b Copy) int { return strings.Compare(a.Target, b.Target) })
	return all
}

// IsCopy is whether a container of the service has something mounted for a copy, and not for a volume of the files.
func (p *Project) IsCopy(s Service, m Mount) bool {
	return m.Type == types.VolumeTypeVolume && slices.ContainsFunc(copiesOf(p, s), func(c Copy) bool { return c.Target == path.Clean(m.Target) })
}

// Hides is why a file cannot be written at target of a container of the service before it starts: it would not be seen below what is mounted
// there, or be written to what is not the container's. "" where it can; in a volume that may be written to it becomes part of that. A folder
// always can: it gets a volume of its own.
func Hides(p *Project, s Service, target string) string {
	at, why := "", ""
	note := func(where, reason string) {
		where = path.Clean(where)
		if len(where) >= len(at) && (where == "/" || target == where || strings.HasPrefix(target, where+"/")) {
			at, why = where, reason
		}
	}
	if s.ReadOnly {
		note("/", "the root file system is read-only")
	}
	for _, entry := range s.Tmpfs {
		where, _, _ := strings.Cut(entry, ":")
		note(where, "there is a tmpfs at "+where)
	}
	for _, v := range s.Volumes {
		own, isCopy := p.CopyOf(s.Name, v)
		switch {
		case isCopy && own.Target == target:
		case isCopy:
			note(v.Target, "")
		case v.Type == types.VolumeTypeTmpfs:
			note(v.Target, "there is a tmpfs at "+v.Target)
		case v.Type == types.VolumeTypeBind:
			note(v.Target, "there is a folder of that machine at "+v.Target+", into which it would be written")
		case v.Type == types.VolumeTypeVolume && !v.ReadOnly:
			note(v.Target, "")
		default:
			note(v.Target, "what is mounted at "+v.Target+" is read-only")
		}
	}
	return why
}

// copiesDiffer says that what is copied into a container is not what was.
func (p *planner) copiesDiffer(s Service, c Container) string {
	if now, ok := p.have.Copies[s.Name]; ok && (now.Problem != nil || c.Labels[LabelCopied] != now.Digest) {
		return "the files that are copied into it changed"
	}
	return ""
}

// copied notes what keeps the copies of a service, for which a container is made, from being made, and gives the container the label that
// says what it has.
func (p *planner) copied(s Service, labels map[string]string) {
	now, ok := p.have.Copies[s.Name]
	if !ok {
		return
	}
	at := []string{"services", s.Name}
	if now.Problem != nil {
		next := ""
		if h, ok := now.Problem.(Hinted); ok {
			next = h.Hint()
		}
		p.cannot(at, next, "%v", now.Problem)
		return
	}
	for _, target := range now.Files {
		if why := Hides(p.want, s, target); why != "" && isOlder(p.have.Engine.APIVersion, HiddenAPI) {
			p.cannot(at, HiddenNext, "service %s: the file for %s cannot be put into a container on another machine: %s", s.Name, target, why)
		}
	}
	labels[LabelCopied] = now.Digest
}

// HiddenAPI is the Engine API by which a file can be mounted where Hides is not "", and HiddenNext what to do with an older one.
const (
	HiddenAPI  = "1.45"
	HiddenNext = "mount the folder that it is in instead of the file, or upgrade the engine to Docker Engine 26 or newer"
)

// tellOfCopies warns of what is otherwise on another machine's engine, for the services that the plan makes containers of.
func (p *planner) tellOfCopies() {
	if !p.have.Engine.Remote {
		return
	}
	var copies, theirs []string
	told := map[string]bool{}
	for _, step := range p.plan {
		if step.Op != CreateContainer || told[step.Service] {
			continue
		}
		told[step.Service] = true
		for _, v := range step.Container.Service.Volumes {
			_, isCopy := p.want.CopyOf(step.Service, v)
			switch {
			case v.Type != types.VolumeTypeBind || isCopy && v.ReadOnly || isOfMachine(v.Source):
			case isCopy:
				copies = append(copies, step.Service+": "+v.Target)
			default:
				theirs = append(theirs, step.Service+": "+v.Source)
			}
		}
	}
	if len(copies) > 0 {
		p.warn(fmt.Sprintf("mounts of the project (%s)", strings.Join(copies, ", ")),
			"they are copied to the engine's machine, and what is written there does not come back; develop.watch with sync carries your changes over")
	}
	if len(theirs) > 0 {
		p.warn(fmt.Sprintf("mounts from outside of the project (%s)", strings.Join(theirs, ", ")), "they are paths of the engine's machine, not of this one")
	}
}

// isOfMachine is whether a path is one that a mount means of whatever machine the engine runs on.
func isOfMachine(name string) bool {
	name = filepath.Clean(name)
	return strings.HasSuffix(name, ".sock") || slices.ContainsFunc([]string{"/proc", "/sys", "/dev", "/run", "/var/run", "/etc/localtime", "/etc/timezone", "/etc/machine-id"},
		func(of string) bool { return isIn(of, name) })
}
