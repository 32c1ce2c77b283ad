package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/host"
)

func newPreviewDoctor() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "Check what a preview runs on: its engine, its disk, and the timer that ends its machine.", ArgsUsage: "number",
		UsageText: "strake preview doctor 42", Description: "0 nothing is broken, 1 something is, or there is no such preview, 2 wrong usage, 130 interrupted",
		Flags: append(changeFlags(), jsonFlag()), Action: onPreview(previewDoctor),
	}
}

// previewDoctor checks the machine of a preview as doctor checks this one.
func previewDoctor(ctx context.Context, s Streams, o previewOptions) error {
	w, _, err := shownPreview(ctx, s, o, "preview doctor")
	if err != nil {
		return err
	}
	defer w.close()
	if w.ec2 == nil {
		return doctor(ctx, s, doctorOptions{Project: o.Project, JSON: o.JSON})
	}
	findings := examineOpen(ctx, s, w.engine, func(ctx context.Context, f engine.Facts) ([]finding, disk) {
		v, err := w.ec2.way.Vitals(ctx, f.DockerRootDir)
		if err != nil {
			return []finding{{"machine", isBroken, err.Error(), hintOf(err)}}, disk{err: err}
		}
		d := disk{kind: v.FileSystem, cloning: map[string]string{"1": "with reflink", "0": "without reflink"}[v.Reflink], free: uint64(v.DiskFree)}
		return []finding{memory(v), leaseTimer(v, w.ec2.machine, s.Now())}, d
	})
	return diagnosis{findings, "strake preview open " + o.ID + " can be run"}.print(ctx, s, o.JSON)
}

// scarceBytes is how much memory at least should be there to be had.
const scarceBytes = 256 << 20

func memory(v host.Vitals) finding {
	d := finding{Check: "memory", Verdict: isFine, Found: fmt.Sprintf("%s of %s to be had", units.BytesSize(float64(v.Available)), units.BytesSize(float64(v.Memory)))}
	if v.Available < scarceBytes {
		d.Verdict, d.Do = isDoubted, "name a larger type in x-strake.previews.ec2.type, close the preview and open it again"
	}
	return d
}

// timerTolerance is how much the timer and the tags may differ: the tags are written after it.
const timerTolerance = time.Minute

// leaseTimer is whether the machine will end itself, and when its tags say.
func leaseTimer(v host.Vitals, m host.Machine, now time.Time) finding {
	next := "strake preview extend sets it anew; where it does not, " + m.Removal()
	switch off := v.Ends.Sub(m.Expires).Abs(); {
	case !v.Armed:
		return finding{"lease timer", isBroken, "does not run: nothing but strake preview sync ends machine " + m.ID, next}
	case v.Ends.IsZero():
		return finding{"lease timer", isDoubted, "runs, and when it ends the machine cannot be read", next}
	case off > timerTolerance:
		return finding{"lease timer", isDoubted, fmt.Sprintf("ends the machine at %s, and the lease is until %s", v.Ends.Local().Format("2006-01-02 15:04"), m.Expires.Local().Format("2006-01-02 15:04")), next}
	}
	return finding{"lease timer", isFine, fmt.Sprintf("runs, and ends the machine at %s, in %s", v.Ends.Local().Format("2006-01-02 15:04"), roughly(v.Ends.Sub(now))), ""}
}
