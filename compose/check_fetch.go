package compose

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// fetchedBy are the programs of a command that fetch something from a network; isOurs is whether a host is reached without one (nil: only
// the container's own). It is none for what cannot be told.
func fetchedBy(args []string, isOurs func(host string) bool) []string {
	args = unwrapped(args)
	if len(args) == 0 {
		return nil
	}
	name := path.Base(args[0])
	if shells[name] {
		for i, a := range args[1:] {
			if len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.HasSuffix(a, "c") && i+2 < len(args) {
				return fetchedByScript(args[i+2], isOurs)
			}
		}
		return nil
	}
	if is, ok := fetchers()[name]; ok && is(args[1:]) {
		return []string{name}
	}
	if askers[name] && asks(args[1:], isOurs) {
		return []string{name}
	}
	return nil
}

// fetchedByScript is fetchedBy for each command of a shell's script, sorted. A script that is none for a shell has none.
func fetchedByScript(script string, isOurs func(host string) bool) []string {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		return nil
	}
	var all []string
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		var args []string
		for _, w := range call.Args {
			args = append(args, textOf(w.Parts))
		}
		for _, a := range call.Assigns {
			if a.Name != nil && a.Name.Value == "GOPROXY" && a.Value != nil && textOf(a.Value.Parts) == "off" {
				return true
			}
		}
		all = append(all, fetchedBy(args, isOurs)...)
		return true
	})
	slices.Sort(all)
	return slices.Compact(all)
}

// textOf is what a word of a script says; what is only known when it runs is a $.
func textOf(parts []syntax.WordPart) string {
	var b strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(strings.ReplaceAll(p.Value, `\`, ""))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			b.WriteString(textOf(p.Parts))
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

var shells = map[string]bool{"sh": true, "bash": true, "ash": true, "dash": true, "zsh": true, "ksh": true}

// wrapper is a program that runs the one that comes after its own arguments.
type wrapper struct {
	flags string // those of its flags that take a value
	takes int    // how many arguments of its own it has before
}

// wrappers are such programs. Sources: their manuals.
var wrappers = map[string]wrapper{"sudo": {"-u -g -h -p -C", 0}, "env": {"-u -C -S", 0}, "exec": {"-a", 0}, "time": {"-f -o", 0}, "nice": {"-n", 0}, "ionice": {"-c -n", 0},
	"command": {}, "nohup": {}, "xargs": {"-a -I -n -P -L -d -s -E", 0}, "timeout": {"-s -k", 1}, "eatmydata": {}, "setpriv": {}, "fakeroot": {}, "dumb-init": {}, "tini": {},
	"gosu": {"", 1}, "su-exec": {"", 1}}

// unwrapped is a command without the programs that only run it.
func unwrapped(args []string) []string {
	for len(args) > 0 {
		w, ok := wrappers[path.Base(args[0])]
		if !ok {
			return args
		}
		args = args[1:]
		for len(args) > 0 && (strings.HasPrefix(args[0], "-") || strings.Contains(args[0], "=")) {
			if slices.Contains(strings.Fields(w.flags), args[0]) && len(args) > 1 {
				args = args[1:]
			}
			args = args[1:]
		}
		args = args[min(w.takes, len(args)):]
	}
	return nil
}

// fetches is whether a program fetches when it is called with arguments.
type fetches func(args []string) bool

// fetchers are the programs that fetch, and when they do. Sources: their manuals.
func fetchers() map[string]fetches {
	debian := allOf(noneOf("--no-download", "--simulate", "--dry-run", "--print-uris", "-s"), notLocal, has("update", "install", "upgrade", "dist-upgrade", "full-upgrade", "build-dep", "source", "download", "satisfy"))
	redhat := allOf(noneOf("-C", "--cacheonly"), notLocal, has("install", "update", "upgrade", "groupinstall", "makecache", "builddep"))
	pip := allOf(noneOf("--no-index", "--offline"), first("install", "download", "wheel", "sync"))
	node := allOf(noneOf("--offline"), first("install", "i", "ci", "clean-install", "add", "update", "upgrade", "fetch", "dlx"))
	java := allOf(noneOf("-o", "--offline", "-v", "--version", "-version"), func(args []string) bool { return len(args) > 0 })
	return map[string]fetches{
		"apt-get": debian, "apt": debian, "aptitude": debian, "yum": redhat, "dnf": redhat, "microdnf": redhat, "tdnf": redhat,
		"apk":    allOf(noneOf("--no-network"), notLocal, has("add", "update", "upgrade", "fetch")),
		"zypper": has("install", "in", "refresh", "ref", "update", "up", "patch"),
		"pacman": func(args []string) bool {
			return slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-S") })
		},
		"pip": pip, "pip3": pip, "pipx": pip, "pipenv": first("install", "sync", "update"), "poetry": first("install", "add", "update", "lock"), "pdm": first("install", "sync", "add"),
		"python": module(pip), "python3": module(pip),
		"uv": allOf(noneOf("--offline", "--no-index"), func(args []string) bool {
			return first("sync", "add", "lock")(args) || first("pip")(args) && has("install", "sync")(args)
		}),
		"conda": allOf(noneOf("--offline"), first("install", "create", "update", "env")), "mamba": first("install", "create", "update", "env"), "micromamba": first("install", "create", "update", "env"),
		"npm": node, "pnpm": node, "bun": first("install", "i", "add", "update"),
		"npx": func(args []string) bool { // what is installed is not fetched, but for a version that is asked for
			return slices.ContainsFunc(args, func(a string) bool { return strings.LastIndexByte(a, '@') > 0 })
		},
		"yarn": allOf(noneOf("--offline", "--version", "-v"), func(args []string) bool {
			return first("install", "add", "upgrade", "dlx")(args) || !slices.ContainsFunc(args, isWord)
		}),
		"corepack": first("prepare", "install"),
		"go": func(args []string) bool {
			return first("get")(args) || first("mod")(args) && has("download", "tidy", "vendor")(args) ||
				first("install")(args) && slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "@") })
		},
		"cargo":  allOf(noneOf("--offline", "--frozen"), first("build", "b", "fetch", "install", "update")),
		"rustup": first("install", "toolchain", "update", "target", "component"),
		"git":    git,
		"bundle": allOf(noneOf("--local"), func(args []string) bool {
			return first("install", "update", "add")(args) || !slices.ContainsFunc(args, isWord) && !has("--version", "-v")(args)
		}),
		"gem":      allOf(noneOf("--local", "-l"), first("install", "update", "fetch")),
		"composer": first("install", "i", "update", "require", "create-project"),
		"pecl":     first("install", "upgrade"),
		"mvn":      java, "mvnw": java, "gradle": java, "gradlew": java,
		"dotnet": allOf(noneOf("--no-restore", "--no-build"), first("restore", "build", "publish", "tool", "add")),
		"mix":    first("deps.get", "local.hex", "local.rebar"),
		"helm":   first("pull", "repo", "dependency"), "terraform": first("init"), "playwright": first("install"), "nvm": first("install"),
	}
}

// allOf is whether all of the conditions hold.
func allOf(all ...fetches) fetches {
	return func(args []string) bool {
		return !slices.ContainsFunc(all, func(f fetches) bool { return !f(args) })
	}
}

// has is whether one of the words is among the arguments.
func has(words ...string) fetches {
	return func(args []string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(words, a) })
	}
}

// noneOf is whether none of the flags is among the arguments.
func noneOf(flags ...string) fetches {
	return func(args []string) bool { return !has(flags...)(args) }
}

// first is whether the first argument that is no flag, nor the value of one that names a folder, is one of the words.
func first(words ...string) fetches {
	return func(args []string) bool {
		for i, a := range args {
			if !isWord(a) || i > 0 && slices.Contains([]string{"-C", "-c", "-d", "--prefix", "--cwd", "--dir", "--directory", "--manifest-path", "--project", "--root", "--config"}, args[i-1]) {
				continue
			}
			return slices.Contains(words, a)
		}
		return false
	}
}

func isWord(a string) bool { return a != "" && a[0] != '-' && a[0] != '+' }

// notLocal is that not all packages are files.
func notLocal(args []string) bool {
	packages, files := 0, 0
	for i, a := range args {
		if isWord(a) && i > 0 && !slices.Contains([]string{"install", "add", "-o", "-t", "-c"}, a) && args[i-1] != "-o" && args[i-1] != "-t" && args[i-1] != "-c" {
			packages++
			if strings.HasPrefix(a, "/") || strings.HasPrefix(a, "./") || strings.HasPrefix(a, "../") {
				files++
			}
		}
	}
	return packages == 0 || files < packages
}

// module is python -m of a module of that kind.
func module(pip fetches) fetches {
	return func(args []string) bool {
		i := slices.Index(args, "-m")
		return i >= 0 && i+1 < len(args) && args[i+1] == "pip" && pip(args[i+2:])
	}
}

// git is whether git asks another machine.
func git(args []string) bool {
	switch {
	case first("fetch", "pull", "ls-remote")(args):
		return true
	case first("submodule")(args):
		return has("update", "add")(args)
	case first("lfs")(args):
		return has("pull", "fetch")(args)
	}
	return first("clone")(args) && slices.ContainsFunc(args, func(a string) bool {
		before, _, scp := strings.Cut(a, ":")
		return strings.Contains(a, "://") && !strings.HasPrefix(a, "file://") || strings.Contains(a, "$") || scp && strings.Contains(before, "@") && !strings.Contains(before, "/")
	})
}

// askers are programs that fetch what their arguments name.
var askers = map[string]bool{"curl": true, "wget": true, "http": true, "https": true, "aria2c": true}

// asks is whether one of the arguments is an address of another machine, or is not known.
func asks(args []string, isOurs func(host string) bool) bool {
	for _, a := range args {
		if strings.Contains(a, "://") {
			hosts := addressed(a)
			outside := func(h string) bool { return !isOwnHost(h) && (isOurs == nil || !isOurs(h)) }
			if len(hosts) == 0 && strings.Contains(a, "$") && !strings.HasPrefix(a, "-") || slices.ContainsFunc(hosts, outside) {
				return true
			}
		} else if isOurs == nil && strings.HasPrefix(a, "$") {
			return true
		}
	}
	return false
}
