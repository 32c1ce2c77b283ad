package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/gateway"
)

// Where the proxy's container has what it is told of the authority of its certificates, and that one's own root certificates.
const (
	acmeFile     = "/etc/strake/acme.json"
	acmeRootFile = "/etc/strake/acme-root.pem"
)

// authority is where the certificates of a gateway come from.
type authority struct {
	gateway.ACME
	root string // the text of Root, "" for none
}

// authorityOf reads what the policy says of certificates; nil is none. A file is relative to the project's folder.
func authorityOf(s compose.EC2Settings, dir string) (*authority, error) {
	from, ok := s.Certificates()
	if !ok {
		return nil, nil
	}
	a := &authority{ACME: gateway.ACME{Directory: from.Directory, Email: from.Email}}
	if from.Root == "" {
		return a, nil
	}
	path := from.Root
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	text, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(text), "-----BEGIN CERTIFICATE-----") {
		err = fmt.Errorf("%s holds no certificate", path)
	}
	if err != nil {
		return nil, &compose.HintedError{Err: fmt.Errorf("read the root certificates of the authority: %w", err), Next: "write into x-strake.previews.ec2.acme.root a file of certificates, PEM"}
	}
	a.Root, a.root = acmeRootFile, string(text)
	return a, nil
}

// configs are the authority as the gateway's file has it: of the proxy, and of the file itself.
func (a *authority) configs() (ofProxy, ofFile string, err error) {
	if a == nil {
		return "", "", nil
	}
	told, err := json.Marshal(a.ACME)
	if err != nil {
		return "", "", err
	}
	files := []string{acmeFile, string(told)}
	if a.root != "" {
		files = append(files, acmeRootFile, a.root)
	}
	var refs, texts []string
	for i := 0; i < len(files); i += 2 {
		text, err := json.Marshal(strings.ReplaceAll(files[i+1], "$", "$$")) // JSON is YAML, in which a $ begins a variable
		if err != nil {
			return "", "", err
		}
		name := strings.ReplaceAll(strings.TrimPrefix(filepath.Base(files[i]), "acme"), ".", "")
		refs = append(refs, fmt.Sprintf("{source: acme%s, target: %s}", name, files[i]))
		texts = append(texts, fmt.Sprintf("acme%s: {content: %s}", name, text))
	}
	return "configs: [" + strings.Join(refs, ", ") + "]", "configs: {" + strings.Join(texts, ", ") + "}", nil
}

// acmeOf reads what the proxy was told of an authority; nil where it was told of none.
func acmeOf(file string) (*gateway.ACME, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	a := &gateway.ACME{}
	if err == nil {
		err = json.Unmarshal(text, a)
	}
	if err != nil {
		return nil, fmt.Errorf("read where certificates come from: %w", err)
	}
	return a, nil
}
