package bundle

import "github.com/distribution/reference"

// fullName is a reference with its registry and tag, as image stores write it; what is none stays as it is.
func fullName(ref string) string {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return ref
	}
	return named.String()
}

// CanCarry is whether a reference survives: engines with graph drivers forget, when they load an image, what digest a registry has it by.
func CanCarry(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	_, pinned := named.(reference.Digested)
	return !pinned
}
