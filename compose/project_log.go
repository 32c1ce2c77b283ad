package compose

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
)

// logging serialises recordLog: compose-go warns through logrus's one logger of the process, which has to be turned
// aside while it works, as there is no other way to get hold of its warnings.
var logging sync.Mutex

// recordLog runs do and returns what was logged meanwhile instead of being printed, sorted, each sentence once.
func recordLog(do func()) []string {
	logging.Lock()
	defer logging.Unlock()
	r := &recorder{}
	log := logrus.StandardLogger()
	out, hooks := log.Out, log.ReplaceHooks(logrus.LevelHooks{})
	log.SetOutput(io.Discard)
	log.AddHook(r)
	defer func() {
		log.ReplaceHooks(hooks)
		log.SetOutput(out)
	}()
	do()
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.said) // compose-go goes through maps
	return r.said
}

// recorder is a hook of logrus that keeps warnings.
type recorder struct {
	mu   sync.Mutex
	said []string
}

var _ logrus.Hook = (*recorder)(nil)

// Levels are the levels that the recorder wants: warnings and worse.
func (r *recorder) Levels() []logrus.Level {
	return []logrus.Level{logrus.WarnLevel, logrus.ErrorLevel}
}

// Fire keeps an entry's message.
func (r *recorder) Fire(e *logrus.Entry) error {
	text := plainWarning(e.Message)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.said, text) {
		r.said = append(r.said, text)
	}
	return nil
}

// plainWarning says in strake's words what compose-go warns of; what it does not know stays as it is.
func plainWarning(text string) string {
	if m := regexp.MustCompile(`^The \\?"([^"\\]+)\\?" variable is not set`).FindStringSubmatch(text); m != nil {
		return "variable " + m[1] + " is not set; it is taken as empty"
	}
	if file, ok := strings.CutSuffix(text, ": the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion"); ok {
		return file + ": version is obsolete and ignored; remove it"
	}
	return strings.TrimSuffix(text, ".")
}
