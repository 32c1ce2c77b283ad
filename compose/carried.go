package compose

import "strings"

// CarriedAs is the name under which an engine has an image that a bundle brought and that a file names by its digest, such as postgres@sha256:…:
// an engine forgets, when it loads an image, what digest a registry has it by. "" for a reference that is not so named.
func CarriedAs(ref string) string {
	name, digest, pinned := strings.Cut(ref, "@sha256:")
	if !pinned {
		return ""
	}
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name + ":strake-sha256-" + digest
}
