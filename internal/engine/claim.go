package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"github.com/strake-dev/strake/compose"
)

// emptyImage is what claims are made of: no layer, no program. It is imported where it is missing.
const emptyImage = "strake-empty:1"

// While a claim is being made by another, it is looked at every claimPause, for claimPatience. claimCreate bounds a create.
const (
	claimPause    = 20 * time.Millisecond
	claimPatience = 10 * time.Second
	claimCreate   = time.Minute
)

// takeClaim does TakeClaim. The engine gives a container's name to one of those who ask for it at once.
func (e *Engine) takeClaim(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	begun := time.Now()
	for {
		id, err := e.createClaim(ctx, s)
		switch {
		case err == nil:
			note(compose.Event{Text: id})
			return nil
		case errdefs.IsNotFound(err) && time.Since(begun) < claimPatience:
			if err := e.importEmpty(ctx); err != nil {
				return err
			}
			continue
		case !errdefs.IsConflict(err):
			return err
		}
		holder, err := e.api.ContainerInspect(ctx, s.Name)
		if err == nil {
			return heldBy(s.Labels[compose.LabelClaim], holder)
		}
		if !errdefs.IsNotFound(err) {
			return err
		}
		// It was given back in between, or it is being made: a name is taken before its container can be inspected.
		if time.Since(begun) > claimPatience {
			return &compose.HeldError{Project: s.Labels[compose.LabelClaim]}
		}
		select {
		case <-time.After(claimPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// createMark does CreateMark.
func (e *Engine) createMark(ctx context.Context, s compose.Step) error {
	begun := time.Now()
	for {
		_, err := e.createClaim(ctx, s)
		switch {
		case errdefs.IsNotFound(err) && time.Since(begun) < claimPatience:
			if err := e.importEmpty(ctx); err != nil {
				return err
			}
			continue
		case !errdefs.IsConflict(err):
			return err
		}
		there, err := e.api.ContainerInspect(ctx, s.Name)
		if err == nil {
			for k, v := range s.Labels {
				if there.Config.Labels[k] != v {
					return &compose.HintedError{Err: fmt.Errorf("container %s is there and says something else", s.Name), Next: "look at what it is; docker rm " + s.Name + " removes it"}
				}
			}
			return nil
		}
		if !errdefs.IsNotFound(err) || time.Since(begun) > claimPatience {
			return err
		}
		select { // it is being made, or removed
		case <-time.After(claimPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// createClaim makes the claim container. Once begun it is finished: one that is made and not known of would be held by nobody.
func (e *Engine) createClaim(ctx context.Context, s compose.Step) (id string, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimCreate)
	defer cancel()
	answer, err := e.api.ContainerCreate(ctx, &container.Config{Image: emptyImage, Cmd: []string{"claim"}, Labels: s.Labels},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, s.Name)
	return answer.ID, err
}

// heldBy says who holds a project's claim. What has its name may be anything, without labels too.
func heldBy(project string, holder container.InspectResponse) error {
	held := &compose.HeldError{ID: holder.ID, Project: project}
	if err := json.Unmarshal([]byte(holder.Config.Labels[compose.LabelOwner]), &held.Owner); err != nil {
		held.Owner = compose.Owner{} // the zero Owner says that it cannot be read
	}
	return held
}

// holdClaim does HoldClaim.
func (e *Engine) holdClaim(ctx context.Context, s compose.Step) error {
	c, err := e.api.ContainerInspect(ctx, s.Target)
	if errdefs.IsNotFound(err) {
		return compose.ErrClaimLost
	}
	if err == nil && c.State != nil && (c.State.Status == container.StateRemoving || c.State.Dead) {
		return compose.ErrClaimLost
	}
	return err
}

// importEmpty makes the empty image.
func (e *Engine) importEmpty(ctx context.Context) error {
	e.claim.Lock()
	defer e.claim.Unlock()
	if _, err := e.api.ImageInspect(ctx, emptyImage); err == nil {
		return nil // another import was first
	}
	empty := bytes.NewReader(make([]byte, 1024)) // a tar archive of nothing
	progress, err := e.api.ImageImport(ctx, image.ImportSource{Source: empty, SourceName: "-"}, emptyImage, image.ImportOptions{})
	if err != nil {
		return fmt.Errorf("import the empty image of claims: %w", err)
	}
	_, err = io.Copy(io.Discard, progress)
	return errors.Join(err, progress.Close())
}
