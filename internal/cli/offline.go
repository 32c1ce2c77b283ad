package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
)

func newOffline() *cli.Command {
	return group(&cli.Command{
		Name: "offline", Usage: "Say what of the project needs the internet.",
		UsageText:   "strake up --isolated && strake offline report   # what its services try to reach\nstrake up && strake offline pages               # what its pages load from elsewhere",
		Description: "0 nothing, 1 failed, 2 wrong usage, 3 not healthy, 5 something is tried or loaded from elsewhere, or nothing is proven, 130 interrupted",
	}, append(offlinePrograms(), newOfflineReport(), newOfflinePages())...)
}

// pagesOptions are the flags of offline pages.
type pagesOptions struct {
	Project         projectOptions
	URLs, Header    []string
	Most            int
	NoBrowser, JSON bool
}

func newOfflinePages() *cli.Command {
	return &cli.Command{
		Name: "pages", Usage: "Walk the application's own pages and list what a browser would load from elsewhere: scripts, styles, fonts, pictures, requests. Without a URL they are those of the running stack. Where a Chromium is installed it opens each page, without a way to anywhere else, and what it asks for is listed too.",
		ArgsUsage:   "[URL ...]",
		UsageText:   "strake offline pages\nstrake offline pages http://pr-42.shop.localhost:7080/\nstrake offline pages -H 'Cookie: session=…' http://localhost:8080/notes",
		Description: "0 nothing is loaded from elsewhere, 1 failed, 2 wrong usage, 5 something is, beyond x-strake.offline.allow, 130 interrupted",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "send `HEADER: VALUE` with each request, such as a session's cookie; the browser does not send it"},
			&cli.IntFlag{Name: "most", Value: 200, Usage: "read `N` files at most"},
			&cli.BoolFlag{Name: "no-browser", Usage: "only read; open no browser"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.Int("most") < 1 {
				return usagef("write a number from 1 up", "--most is %d", c.Int("most"))
			}
			return offlinePages(c.Context, streamsOf(c), pagesOptions{Project: projectOptionsOf(c), URLs: c.Args().Slice(), Header: c.StringSlice("header"), Most: c.Int("most"),
				NoBrowser: c.Bool("no-browser"), JSON: c.Bool("json")})
		},
	}
}

// offlinePages prints what pages load from elsewhere. Where that is more than is allowed it is an *exitError of code 5.
func offlinePages(ctx context.Context, s Streams, o pagesOptions) error {
	begin, allow, err := pagesOf(ctx, s, o)
	if err != nil {
		return err
	}
	with := offline.PagesOptions{Most: o.Most, Allow: allow, Header: map[string]string{}}
	for _, h := range o.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return usagef("write it as: -H 'Cookie: session=abc'", "a --header has no colon")
		}
		with.Header[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	r, err := offline.Pages(ctx, begin, with)
	if err != nil {
		return &compose.HintedError{Err: err, Next: "strake ps says what runs and where it is reached; name a page: strake offline pages URL"}
	}
	program := offline.Browser()
	if program != "" && !o.NoBrowser {
		if err := offline.Browse(ctx, program, &r, allow); err != nil {
			if ctx.Err() != nil {
				return err
			}
			fmt.Fprintf(s.Err, "warning: what a browser asks for is not known: %v\n", err)
			r.Browser = ""
		}
	}
	if o.JSON {
		err = printJSON(s.Out, r)
	} else {
		err = printPages(s, r, program == "" && !o.NoBrowser)
	}
	if err == nil && len(r.Wanted()) > 0 {
		return &exitError{code: exitRefused}
	}
	return err
}

// pagesOf are the pages to begin with: those named, or those of the running stack; and what its file allows.
func pagesOf(ctx context.Context, s Streams, o pagesOptions) (begin []*url.URL, allow []string, err error) {
	urls := o.URLs
	if len(urls) == 0 {
		stack, err := lookAt(ctx, s, o.Project, nil)
		if err != nil {
			return nil, nil, err
		}
		closeUnused(stack.engine)
		for _, c := range stack.picked {
			for _, a := range addresses(c) {
				if strings.Contains(a, "://") && c.Status == compose.Running && !slices.Contains(urls, a) {
					urls = append(urls, a)
				}
			}
		}
		if len(urls) == 0 {
			return nil, nil, &compose.HintedError{Err: fmt.Errorf("no running service of %s is reached by HTTP", stack.name), Next: "strake up first, or name a page: strake offline pages URL"}
		}
		if stack.p != nil {
			allow = stack.p.Settings.Offline.Allow
		}
	} else if p, err := loadWith(ctx, s, o.Project.loadOptions(s)); err == nil {
		allow = p.Settings.Offline.Allow
	} else if !errors.Is(err, compose.ErrNoFile) {
		return nil, nil, err
	}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, nil, usagef("write it as http://localhost:8080/", "%q is no address of a page", text)
		}
		if u.Path == "" {
			u.Path = "/"
		}
		begin = append(begin, u)
	}
	return begin, allow, nil
}

// printPages prints what was found, a line each, and what it comes to.
func printPages(s Streams, r offline.PagesReport, lacksBrowser bool) error {
	var rows [][]string
	for _, one := range r.Resources {
		at, note := one.File, ""
		if one.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, one.Line)
		}
		switch {
		case one.Allowed:
			note = "allowed"
		case one.Asked:
			note = "a browser asked for it"
		}
		rows = append(rows, []string{at, one.Kind, one.URL, note})
	}
	if len(rows) > 0 {
		if err := printTable(s.Out, append([][]string{{"IN", "AS", "LOADS", ""}}, rows...)); err != nil {
			return err
		}
	}
	for _, u := range r.Unread {
		fmt.Fprintf(s.Err, "warning: %s was not looked at: %s\n", u.File, u.Why)
	}
	if r.More {
		fmt.Fprintf(s.Err, "warning: there are more pages; --most reads more of them\n")
	}
	how := " (read, and opened in " + r.Browser + ")"
	if r.Browser == "" {
		how = " (read)"
	}
	if lacksBrowser {
		how = " (read; with a Chromium installed they are opened too)"
	}
	looked := fmt.Sprintf("%s and %s%s", plural(len(r.Pages), "page"), plural(r.Files, "file"), how)
	wanted := len(r.Wanted())
	if wanted == 0 {
		_, err := fmt.Fprintf(s.Out, "%s: nothing is loaded from elsewhere\n", looked)
		return err
	}
	_, err := fmt.Fprintf(s.Out, "%s: %s from elsewhere; keep a copy in the project, or allow a host in x-strake.offline.allow\n", looked, plural(wanted, "load"))
	return err
}
