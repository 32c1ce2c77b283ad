package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Save is an archive of images, as this engine writes it. It has to be read to its end, and closed.
// Source: Docker Engine API 1.41, GET /images/get.
func (e *Engine) Save(ctx context.Context, refs []string) (io.ReadCloser, error) {
	r, err := e.api.ImageSave(ctx, refs)
	if err != nil {
		return nil, fmt.Errorf("save images: %w", e.explainCall(ctx, err))
	}
	return r, nil
}

// Load takes the images of an archive. One that breaks off leaves layers that nothing names at most.
// Source: Docker Engine API 1.41, POST /images/load.
func (e *Engine) Load(ctx context.Context, archive io.Reader) error {
	defer e.images.clear() // which names are others now only the archive says
	answer, err := e.api.ImageLoad(ctx, archive)
	if err != nil {
		return fmt.Errorf("load images: %w", e.explainCall(ctx, err))
	}
	defer answer.Body.Close() // it was read to its end
	for decoder := json.NewDecoder(answer.Body); ; {
		var m struct{ Error string }
		switch err := decoder.Decode(&m); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("load images: %w", err)
		case m.Error != "":
			return fmt.Errorf("load images: %s", m.Error)
		}
	}
}
