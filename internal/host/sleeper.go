package host

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/strake-dev/strake/compose"
)

// Sleeper is a preview whose machine, of spare capacity, was ended for its sleep: what is remembered of it until it is opened again or its lease ends.
// Its data is gone.
type Sleeper struct {
	Preview string    `json:"-"`
	Lease   int       `json:"-"` // of the machine that it had
	Commit  string    `json:"commit"`
	Branch  string    `json:"branch,omitempty"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
	Ends    time.Time `json:"ends"`
	// Access and PasswordHash are what its open asked for beyond the policy.
	Access       compose.Access `json:"access,omitempty"`
	PasswordHash string         `json:"password_hash,omitempty"`
}

// sleeperName is the parameter in which a sleeper is remembered.
func (c *Cloud) sleeperName(preview string, lease int) string {
	return fmt.Sprintf("%spreviews/%s/%d/asleep", c.parameterPath(), preview, lease)
}

// sleeperOf is the sleeper in a parameter; of one that cannot be read it is only known that it is there.
func sleeperOf(t Thing, text string) *Sleeper {
	var s Sleeper
	if json.Unmarshal([]byte(text), &s) != nil {
		s = Sleeper{}
	}
	s.Preview, s.Lease = t.Preview, t.Lease
	return &s
}

// Sleepers are the previews of the project that sleep without a machine, by preview. One that has a machine again is not among them.
func (c *Cloud) Sleepers(ctx context.Context, machines []Machine) (all []Sleeper, err error) {
	things, err := every(ctx, c.parameters)
	for _, t := range things {
		if t.sleeper == nil || !c.Now().Before(t.sleeper.Expires) {
			continue
		}
		if _, ok := Holding(machines, t.Preview); ok {
			continue
		}
		if n := len(all); n > 0 && all[n-1].Preview == t.Preview { // two leases: the later counts
			if t.Lease > all[n-1].Lease {
				all[n-1] = *t.sleeper
			}
			continue
		}
		all = append(all, *t.sleeper)
	}
	return all, err
}

// Found is what there is of a preview: one of these, or nothing.
type Found struct {
	Machine Machine // that has it; "" is its ID where none does
	Sleeper Sleeper // what is remembered of it where it sleeps without
	// Last is the machine that it had last where AWS ended that, and Why says why; "" where it did not.
	Last Machine
	Why  string
}

// Find is what there is of a preview.
func (c *Cloud) Find(ctx context.Context, preview string) (f Found, err error) {
	all, err := c.Machines(ctx)
	if err != nil {
		return f, err
	}
	var ok bool
	if f.Machine, ok = Holding(all, preview); ok {
		return f, nil
	}
	sleepers, err := c.Sleepers(ctx, all)
	if err != nil {
		return f, err
	}
	for _, one := range sleepers {
		if one.Preview == preview {
			f.Sleeper = one
			return f, nil
		}
	}
	f.Last, f.Why = Taken(all, preview)
	return f, nil
}

// Park ends the machine of a preview with all that belongs to it, and remembers the preview: it sleeps until it is opened again, with the data of its
// seed, or its lease ends. Who is killed before the machine is being ended leaves it as it was; else a Sweep goes on.
// Source: AWS Systems Manager API, PutParameter.
func (c *Cloud) Park(ctx context.Context, m Machine, s Sleeper) (Receipt, error) {
	s.Since, s.Expires, s.Ends = c.Now().UTC().Truncate(time.Second), m.Expires, m.Ends
	text, err := json.Marshal(s)
	if err != nil {
		return Receipt{}, err
	}
	name := c.sleeperName(m.Preview, m.Lease)
	if _, err := c.ssm.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: aws.String(string(text)), Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true),
		Description: aws.String("A preview of strake's that sleeps.")}); err != nil {
		return Receipt{}, explain("write parameter "+name, err)
	}
	return c.end(ctx, func(t Thing) bool { return t.Preview == m.Preview && t.ID != name })
}

// Forget removes what is remembered of a sleeper, whose machine is there.
func (c *Cloud) Forget(ctx context.Context, s Sleeper) error {
	_, err := c.removeOne(ctx, Thing{Kind: KindParameter, ID: c.sleeperName(s.Preview, s.Lease)})
	return err
}

// continued is a lease that goes on where that of a sleeper ended, and the number of the machine's: it does not last longer for a sleep. What is left of
// it has to be time enough for a machine to boot.
func (c *Cloud) continued(ctx context.Context, l Lease, n int) (Lease, int, error) {
	all, err := c.Sleepers(ctx, nil)
	for _, s := range all {
		if s.Preview != l.Preview {
			continue
		}
		if left := s.Ends.Sub(c.Now()); left < leastSleep {
			return l, n, &compose.HintedError{Err: fmt.Errorf("preview %s sleeps, and may last until %s at most: its machine would end itself while it starts", l.Preview, s.Ends.Local().Format("2006-01-02 15:04")),
				Next: "strake preview close " + l.Preview + ", and open makes it anew"}
		}
		n = max(n, s.Lease+1)
		if s.Ends.Before(l.Ends) {
			l.Ends = s.Ends
		}
		if l.Ends.Before(l.Expires) {
			l.Expires = l.Ends
		}
	}
	return l, n, err
}

// forgotten is why a sleeper is remembered no more, "" if it is.
func (c *Cloud) forgotten(s Sleeper, machines []Machine, wanted Wanted) string {
	if m, ok := Holding(machines, s.Preview); ok && c.ended(m, wanted) == "" && (m.Phase == "ready" || m.Phase == "failed") {
		return "its preview has a machine again"
	}
	if !c.Now().Before(s.Expires) {
		return "its lease ended at " + s.Expires.Format(time.RFC3339)
	}
	if wanted == nil {
		return ""
	}
	return wanted(Machine{Project: c.Project, Preview: s.Preview, Lease: s.Lease, Commit: s.Commit, Phase: "asleep", Expires: s.Expires, Ends: s.Ends})
}
