package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/gateway"
	"github.com/strake-dev/strake/previews"
)

// previewOpen opens or updates a preview.
func previewOpen(ctx context.Context, s Streams, o previewOptions) error {
	w, err := beginPreviews(ctx, s, o, "preview open")
	if err != nil {
		return err
	}
	defer w.close()
	began := s.Now()
	open := previews.OpenOptions{Change: o.Change, KeepData: o.KeepData, Reset: o.Reset, TTL: o.TTL, Access: o.Access}
	if open.PasswordHash, err = passwordIn(s, o.PasswordFile); err != nil {
		return err
	}
	var p previews.Preview
	if w.ec2 != nil {
		p, err = w.openOnEC2(ctx, s, o, open)
	} else {
		p, err = w.manager.Open(ctx, open)
	}
	if err == nil {
		err = w.signed(ctx, &p)
	}
	if err != nil {
		return w.explain(err, p)
	}
	if o.TTL > 0 {
		warnCut(s, p.Expires, o.TTL)
	}
	if access, _, err := w.manager.Entry(ctx, p.Project, p.ID); err == nil && o.PasswordFile != "" && access != compose.AccessPassword {
		fmt.Fprintf(s.Err, "warning: nobody is asked for the password: who may look is %s; --access password changes that\n", access)
	}
	if o.JSON {
		return printJSON(s.Out, p)
	}
	printWaterfall(s, p)
	at := p.URL
	if at == "" {
		at = "it has no address: no service says x-strake.route, or publishes a port of the web"
	}
	_, err = fmt.Fprintf(s.Out, "%s\npreview %s is ready at commit %.12s in %s; its lease ends at %s; strake preview close %s removes it\n",
		at, p.ID, p.Commit, span(s.Now().Sub(began).Round(time.Millisecond)), p.Expires.Local().Format("2006-01-02 15:04"), p.ID)
	return err
}

// maxPassword is the length of the longest password in bytes, which is bcrypt's.
const maxPassword = 72

// passwordIn is the hash of the password in a file's first line; "" for no file.
func passwordIn(s Streams, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.Dir, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", usagef("write it into the first line", "%s holds no password", file)
	}
	if len(line) > maxPassword {
		return "", usagef("choose a shorter one", "the password in %s has %d bytes; at most %d count", file, len(line), maxPassword)
	}
	return gateway.HashPassword(line)
}

// signed makes the address of a preview that is opened by a link such a link, until its lease ends.
func (w *previewing) signed(ctx context.Context, p *previews.Preview) error {
	var access compose.Access
	var key []byte
	err := w.again(ctx, func() (err error) {
		access, key, err = w.manager.Entry(ctx, p.Project, p.ID)
		return err
	})
	if err != nil || access != compose.AccessLink {
		return err
	}
	sign := func(url string) string {
		return url + "/?" + gateway.LinkParam + "=" + gateway.SignLink(key, p.Stack, p.Expires)
	}
	for service, url := range p.URLs {
		p.URLs[service] = sign(url)
	}
	if p.URL != "" {
		p.URL = sign(p.URL)
	}
	return nil
}

// explain adds to why an open failed the last lines of the service that is to blame, and what to do next.
func (w *previewing) explain(err error, p previews.Preview) error {
	var unready *compose.NotReadyError
	var step *previews.StepError
	switch f := p.Failure; {
	case (errors.As(err, &unready) || errors.As(err, &step)) && f != nil && f.Log != "":
		err = &reportedError{error: err, sections: []section{{title: "last log lines of " + f.Service, text: f.Log}}}
	}
	if hintOf(err) != "" || errors.Is(err, previews.ErrSuperseded) {
		return err
	}
	if p.Active != "" && p.State == previews.Ready {
		return &compose.HintedError{Err: err, Next: fmt.Sprintf("commit %.12s still serves at %s; put it right and push, or run strake preview open again", p.Commit, p.URL)}
	}
	if p.State == previews.Failed {
		return &compose.HintedError{Err: err, Next: "run strake preview logs " + p.ID + " for the whole log; put it right and open it again, or strake preview close " + p.ID}
	}
	return err
}

// previewClose closes a preview.
func previewClose(ctx context.Context, s Streams, o previewOptions) error {
	w, err := beginPreviews(ctx, s, o, "preview close")
	if err != nil {
		return err
	}
	defer w.close()
	if w.ec2 != nil {
		return w.closeOnEC2(ctx, s, o)
	}
	if !o.Yes {
		p, err := w.manager.Show(ctx, w.project, o.ID)
		if err != nil {
			return err
		}
		if !s.isInteractive() {
			return usagef("say --yes", "preview close removes %s with its data, and there is no terminal to ask on", p.Stack)
		}
		if err := confirm(ctx, s, fmt.Sprintf("This removes preview %s (%s, commit %.12s) with its containers, networks, volumes and data.", p.ID, p.State, p.Commit), "nothing was closed"); err != nil {
			return err
		}
	}
	receipt, err := w.manager.Close(ctx, w.project, o.ID)
	if o.JSON {
		return errors.Join(printJSON(s.Out, receipt), err)
	}
	if err != nil {
		return err
	}
	return printReceipt(s, receipt)
}

// printReceipt says what a preview owned.
func printReceipt(s Streams, r previews.Receipt) error {
	for _, of := range []struct {
		what  string
		names []string
	}{{"container", r.Containers}, {"network", r.Networks}, {"volume", r.Volumes}, {"image", r.Images}, {"work tree", r.Trees}, {"route", r.Routes}} {
		for _, name := range of.names {
			fmt.Fprintf(s.Out, "gone  %-9s  %s\n", of.what, name)
		}
	}
	_, err := fmt.Fprintf(s.Out, "preview %s is closed: all that it owned was looked for and is gone\n", r.ID)
	return err
}

// previewURL prints where a preview is reached.
func previewURL(ctx context.Context, s Streams, o previewOptions, path string) error {
	w, p, err := shownPreview(ctx, s, o, "preview url")
	if err != nil {
		return err
	}
	defer w.close()
	if p.URL == "" {
		return &compose.HintedError{Err: fmt.Errorf("preview %s is %s and has no address", p.ID, p.State), Next: "strake preview show " + p.ID}
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return fmt.Errorf("read the address of preview %s: %w", p.ID, err)
	}
	at, err := url.Parse(path)
	if err != nil {
		return usagef("write a path such as /health", "%q is no path", path)
	}
	if path != "" {
		u.Path, u.RawPath, u.Fragment = strings.TrimSuffix(u.Path, "/")+at.Path, "", at.Fragment
		u.RawQuery = strings.Trim(at.RawQuery+"&"+u.RawQuery, "&")
	}
	_, err = fmt.Fprintln(s.Out, u)
	return err
}

// previewSleep sends a preview to sleep.
func previewSleep(ctx context.Context, s Streams, o previewOptions) error {
	return onPreviews(ctx, s, o, "preview sleep", func(w *previewing) error {
		own, err := w.hasOwnMachine(ctx, s, o.ID, false)
		if err != nil {
			return err
		}
		if own {
			return w.sleepOnEC2(ctx, s, o)
		}
		if err := w.manager.Sleep(ctx, w.project, o.ID); err != nil {
			return err
		}
		if err := w.tellShare(ctx, o.ID); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Out, "preview %s sleeps; the next visitor wakes it\n", o.ID)
		return err
	})
}

// previewWake wakes a preview.
func previewWake(ctx context.Context, s Streams, o previewOptions) error {
	return onPreviews(ctx, s, o, "preview wake", func(w *previewing) error {
		own, err := w.hasOwnMachine(ctx, s, o.ID, true)
		if err != nil {
			return err
		}
		if own {
			return w.wakeOnEC2(ctx, s, o)
		}
		if err := w.manager.Wake(ctx, w.project, o.ID); err != nil {
			return err
		}
		if err := w.tellShare(ctx, o.ID); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Out, "preview %s is awake\n", o.ID)
		return err
	})
}

// warnCut says that a lease ends sooner than it was asked to.
func warnCut(s Streams, end time.Time, asked time.Duration) {
	if end.Before(s.Now().Add(asked - time.Minute)) {
		fmt.Fprintf(s.Err, "warning: the lease ends sooner than asked, as no preview lives longer than x-strake.previews.max_age\n")
	}
}

// previewExtend moves the end of a preview's lease.
func previewExtend(ctx context.Context, s Streams, o previewOptions) error {
	return onManager(ctx, s, o, "preview extend", func(w *previewing) error {
		by := o.By
		if by == 0 {
			by = w.policy.TTL
		}
		end, err := w.manager.Extend(ctx, w.project, o.ID, by)
		if err == nil && w.ec2 != nil {
			if err = w.moved(ctx, o.ID); !w.ec2.machine.Shared() {
				end = w.ec2.machine.Expires
			}
		}
		if err != nil {
			return err
		}
		warnCut(s, end, by)
		if o.JSON {
			return printJSON(s.Out, map[string]any{"id": o.ID, "expires": end})
		}
		_, err = fmt.Fprintf(s.Out, "preview %s lives until %s\n", o.ID, end.Local().Format("2006-01-02 15:04"))
		return err
	})
}

// previewSync leaves what should exist and nothing else.
func previewSync(ctx context.Context, s Streams, o previewOptions) error {
	return onManager(ctx, s, o, "preview sync", func(w *previewing) error {
		if w.ec2 != nil {
			return w.syncOnEC2(ctx, s, o)
		}
		done, err := w.manager.Sync(ctx, w.project, previews.SyncOptions{Open: o.OpenPullRequests})
		if o.JSON {
			return errors.Join(printJSON(s.Out, done), err)
		}
		printSynced(s, done)
		if err == nil && len(done.Closed)+len(done.Finished) == 0 {
			fmt.Fprintln(s.Out, "all previews are as they should be")
		}
		return err
	})
}

// printSynced says what a sync did.
func printSynced(s Streams, done previews.Synced) {
	for _, r := range done.Closed {
		fmt.Fprintf(s.Out, "closed %s: %s\n", r.ID, done.Why[r.ID])
	}
	for _, id := range done.Finished {
		fmt.Fprintf(s.Out, "finished what was begun of %s\n", id)
	}
}

// onManager calls do with what commands on previews need; where these are on machines, the one that the options name is reached before.
func onManager(ctx context.Context, s Streams, o previewOptions, command string, do func(*previewing) error) error {
	return onPreviews(ctx, s, o, command, func(w *previewing) error {
		if w.ec2 != nil && o.ID != "" {
			if err := w.reach(ctx, s, o.ID); err != nil {
				return err
			}
		}
		return do(w)
	})
}

// onPreviews is onManager without a machine.
func onPreviews(ctx context.Context, s Streams, o previewOptions, command string, do func(*previewing) error) error {
	w, err := beginPreviews(ctx, s, o, command)
	if err != nil {
		return err
	}
	defer w.close()
	return do(w)
}

// onStackOf calls do with the project options by which the stack that serves of a preview is known, or that in which a service runs that an
// update kept; "" is no service.
func onStackOf(ctx context.Context, s Streams, o previewOptions, service string, do func(context.Context, Streams, projectOptions) error) error {
	w, p, err := shownPreview(ctx, s, o, "preview logs")
	if err != nil {
		return err
	}
	project := o.Project
	project.Files, project.Name = nil, p.Active
	if p.Active == "" { // of one that failed
		project.Name = previews.GenerationName(p.Stack, p.Generation)
	}
	if c, err := runningOf(ctx, w.engine, p, service); err == nil {
		project.Name = c.Labels[compose.LabelProject]
	}
	if w.ec2 == nil {
		w.close()
	} else {
		defer w.close() // its engine is reached through it
		project.Host, project.Remote = "unix://"+w.ec2.way.Socket(), w.ec2.machine.ID
	}
	s.Dir = "/" // what runs is known by its labels
	return do(ctx, s, project)
}

// previewTest runs a command of this machine against a preview; its exit code is the command's.
func previewTest(ctx context.Context, s Streams, o previewOptions) error {
	w, p, err := shownPreview(ctx, s, o, "preview test")
	if err != nil {
		return err
	}
	w.close()
	if p.State != previews.Ready && p.State != previews.Asleep {
		return &compose.HintedError{Err: fmt.Errorf("preview %s is %s", p.ID, p.State), Next: "strake preview open " + p.ID}
	}
	cmd := exec.CommandContext(ctx, o.Command[0], o.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Dir, append(slices.Clone(s.Environ), previews.Variables(p)...), s.In, s.Out, s.Err
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{code: max(exit.ExitCode(), 1)}
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", o.Command[0], err)
	}
	return nil
}
