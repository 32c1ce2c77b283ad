package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/compose-spec/compose-go/v2/loader"
	"go.yaml.in/yaml/v4"
)

// Text is the project as `docker compose config` prints it: YAML, or JSON. What is in env_file and label_file stands in environment and
// labels, and a $ is doubled, so that it can be loaded again. The values of secrets and of configs that come from the environment are left out.
func (p *Project) Text(asJSON bool) ([]byte, error) {
	inner, err := p.WithServicesEnvironmentResolved(true)
	if err != nil {
		return nil, p.sources.explain(err)
	}
	if inner, err = inner.WithServicesLabelsResolved(true); err != nil {
		return nil, p.sources.explain(err)
	}
	marshal := func() ([]byte, error) { return inner.MarshalYAML() }
	if asJSON {
		marshal = func() ([]byte, error) { return inner.MarshalJSON() }
	}
	text, err := marshal()
	if err != nil {
		return nil, fmt.Errorf("write project %s: %w", p.Name, err)
	}
	text = bytes.ReplaceAll(text, []byte("$"), []byte("$$"))
	return append(bytes.TrimRight(text, "\n"), '\n'), nil
}

// AsWritten is the merged files as `docker compose config --no-interpolate` prints them: variables are not filled in, and what is
// only known with their values is not checked.
func AsWritten(ctx context.Context, o LoadOptions, asJSON bool) ([]byte, error) {
	var (
		model map[string]any
		err   error
	)
	o.NoInterpolate = true
	recordLog(func() {
		var in *input
		if in, err = resolveInput(o); err != nil {
			return
		}
		src := in.sources()
		if err = src.checkAnchors(); err != nil {
			return
		}
		func() {
			defer unpanicked(&err)
			model, err = loader.LoadModelWithContext(ctx, in.details, in.options())
		}()
		err = src.explain(err)
	})
	if err != nil {
		return nil, err
	}
	if asJSON {
		text, err := json.MarshalIndent(model, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("write the files as JSON: %w", err)
		}
		return append(text, '\n'), nil
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(model); err != nil {
		return nil, fmt.Errorf("write the files as YAML: %w", err)
	}
	return text.Bytes(), nil
}
