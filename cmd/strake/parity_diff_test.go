//go:build lab

package main_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// explanation is a difference that is meant.
type explanation struct {
	what *regexp.Regexp // of the line that differences prints
	why  string
}

// explained are all differences that are meant.
func explained() []explanation {
	return []explanation{
		{regexp.MustCompile(`^container \S+: Config\.Labels\."dev\.strake\.inputs": Compose nothing, `),
			"the hash of what a build reads, by which strake knows that an image is stale; Compose builds only when asked"},
		{regexp.MustCompile(`^container st-\w+-reader-1: (HostConfig\.VolumesFrom\[\d\]|Mounts\[\d\]\.(RW|Mode)): `),
			"Compose drops the :ro of `volumes_from: [source:ro]`, so that the reader can write; strake keeps it"},
		{regexp.MustCompile(`^change-networks, @ down: network st-\w+_a: Compose kept, strake nothing$`),
			"down removes every network of the project, also one that no service in the file uses any more; Compose leaves it"},
		{regexp.MustCompile(`^container st-\w+-(one|two)-1: NetworkSettings\.Networks\.st-\w+_b\.(Aliases|DNSNames)`),
			"after a network was made anew Compose connects its containers without their aliases, so that the services are not found by name; strake gives them back"},
		{regexp.MustCompile(`^profiles, @ down: (container st-\w+-(debug|tool)-1: Compose kept running|network st-\w+_default: Compose kept), strake nothing$`),
			"down removes what profiles brought, on or not; Compose leaves it, and so the network, until it is told the profile"},
		{regexp.MustCompile(`^recreate-options, .*, no longer used: Compose there, strake nothing$`),
			"up -V removes the anonymous volumes that it replaces; Compose leaves them for good"},
		{regexp.MustCompile(`^no-start, @ up -d: container st-\w+-web-1: Compose started again running, strake new running$`),
			"a container that was never started may lack its secrets, if the run that made it was killed, so that it is made anew; Compose starts it without them"},
		{regexp.MustCompile(`^container st-\w+-web-1: Config\.Labels\."com\.docker\.compose\.replace": Compose nothing, strake "web-1"$`),
			"the same container made anew"},
		{regexp.MustCompile(`^one-offs, @ down: .*((-extra|-run-<slug>)(: Compose kept running| at /anonymous>: Compose kept)|_default: Compose kept), strake nothing$`),
			"down removes one-off containers too; Compose leaves them, and so the network, without --remove-orphans"},
		{regexp.MustCompile(`^one-offs, @ down: <volume of .*>, no longer used: Compose nothing, strake there$`),
			"the volumes without a name of those one-offs, kept as down without -v keeps all"},
		{regexp.MustCompile(`^down-images, @ down --rmi local.*: image st-\w+-named:1: Compose nothing, strake there$`),
			"--rmi local keeps images with a name of their own, as the help of both says; Compose 2.40.3 removes what it built all the same"},
	}
}

// differences are the lines in which two normalised states are not alike: the thing, the path and both values.
// Explained ones are left out.
func differences(compose, strake map[string]map[string]string) []string {
	var out []string
	lacking, beyond := missing(compose, strake)
	for _, name := range lacking {
		out = append(out, name+": Compose made it, strake did not")
	}
	for _, name := range beyond {
		out = append(out, name+": strake made it, Compose did not")
	}
	for _, name := range slices.Sorted(maps.Keys(compose)) {
		theirs, ours := compose[name], strake[name]
		if ours == nil {
			continue
		}
		paths := maps.Clone(theirs)
		maps.Copy(paths, ours)
		for _, path := range slices.Sorted(maps.Keys(paths)) {
			a, inTheirs := theirs[path]
			b, inOurs := ours[path]
			if !inTheirs {
				a = "nothing"
			}
			if !inOurs {
				b = "nothing"
			}
			if a != b {
				out = append(out, fmt.Sprintf("%s: %s: Compose %s, strake %s", name, path, a, b))
			}
		}
	}
	return slices.DeleteFunc(out, isExplained)
}

func isExplained(line string) bool {
	return slices.ContainsFunc(explained(), func(e explanation) bool { return e.what.MatchString(line) })
}

// howFar are differences in how far a launch came that failed with both: what runs beside what failed is a matter of time,
// and strake makes networks while it builds.
var howFar = regexp.MustCompile(`: (State|HostnamePath|HostsPath|ResolvConfPath|LogPath|NetworkSettings|Containers)\b|^network \S+: strake made it, `)

func isHowFar(line string) bool { return howFar.MatchString(line) }
