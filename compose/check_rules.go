package compose

import "slices"

// Rule is one thing that Check looks for.
type Rule struct {
	// ID is stable: x-strake.check.ignore names it.
	ID string
	// Levels are those that its findings may have, the usual one first.
	Levels []Level
	// When says which level counts when there are several; "" otherwise.
	When string
	// Finds says what is found, for a table; Why and Fix are those of the findings, which may say more.
	Finds, Why, Fix string
	// Elsewhere is that only some runs look for it, so that an ignored one that is not found says nothing.
	Elsewhere bool
}

// ruleNamed is the rule of an ID.
func ruleNamed(id string) (Rule, bool) {
	all := CheckRules()
	i := slices.IndexFunc(all, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return Rule{}, false
	}
	return all[i], true
}

// ruleIDs are the IDs of all rules.
func ruleIDs() []string {
	var ids []string
	for _, r := range CheckRules() {
		ids = append(ids, r.ID)
	}
	return ids
}

// CheckRules are all rules, by what they are about. Findings of those that are Elsewhere, and of preview-refused, come by CheckOptions.Also.
func CheckRules() []Rule { return slices.Concat(networkRules(), hostRules(), stackRules()) }

// networkRules are about what is fetched.
func networkRules() []Rule {
	fail, warn, advise := []Level{LevelError}, []Level{LevelWarning}, []Level{LevelAdvice}
	return []Rule{
		{ID: "remote-include", Levels: fail, Elsewhere: true, Finds: "`include` or `extends` of git, OCI or https",
			Why: "what the stack is would have to be fetched first, and strake does not", Fix: "keep a copy in the project (a git submodule, for example) and name its path"},
		{ID: "remote-context", Levels: fail, Finds: "`build.context` or an additional context that is a URL or git",
			Why: "every build asks the network for it, and a preview refuses it", Fix: "keep a copy in the project (a git submodule, for example) and name its folder"},
		{ID: "unreadable-build", Levels: fail, Finds: "a build whose context or Dockerfile is not there or does not parse",
			Why: "the image cannot be built", Fix: "correct the build section or the Dockerfile"},
		{ID: "image-latest", Levels: warn, Finds: "an image of others without a tag or with `latest`",
			Why: "it is another image on every machine and every day, so that what was tested is not what is promoted", Fix: "name a version, or better a digest: image:1.27@sha256:…"},
		{ID: "image-unpinned", Levels: advise, Finds: "an image of others with a tag and no digest",
			Why: "a tag can be moved, so that two machines may run different images", Fix: "add the digest: image:1.27@sha256:…"},
		{ID: "pull-always", Levels: warn, Finds: "`pull_policy: always`, `daily`, `weekly` or `every_…`",
			Why: "the registry is asked although the image is there, so that up fails without a network unless it is told --offline", Fix: "write pull_policy: missing, and strake pull where a newer image is wanted"},
		{ID: "build-pull", Levels: warn, Finds: "`build.pull: true`",
			Why: "each build asks the registry for its base images, and fails without a network", Fix: "take pull out, and strake pull where newer ones are wanted"},
		{ID: "build-frontend", Levels: warn, Finds: "`# syntax=` in a Dockerfile, or `BUILDKIT_SYNTAX`",
			Why: "an image has to be there before the first line of the Dockerfile is read, and a build that is cached needs it too", Fix: "take the line out where the engine's own frontend is enough; else strake pull fetches it"},
		{ID: "base-image", Levels: advise, Finds: "`FROM`, `COPY --from` and `RUN --mount=from=` of images that come from a registry",
			Why: "a build keeps base images in its cache and not among the images, so that a build without a network may not find them", Fix: "run strake pull while there is a network: it fetches base images too"},
		{ID: "fetching-run", Levels: advise, Finds: "`RUN` lines that fetch: apt-get, apk, pip, npm, go, curl, git clone, …",
			Why: "without a network they work only from the cache, as long as nothing above them changes", Fix: "put them above what changes often and keep the image; or ignore it with a reason"},
		{ID: "fetching-add", Levels: []Level{LevelWarning, LevelAdvice}, When: "advice with `--checksum`, or of a git address with a full commit", Finds: "`ADD` of a URL or git address",
			Why: "the address is asked at every build, cached or not, so that each fails without a network", Fix: "keep the file in the project, or add --checksum=sha256:…: then the cache is enough"},
		{ID: "fetching-command", Levels: warn, Finds: "`command`, `entrypoint` and hooks that fetch at every start",
			Why: "without a network the container does not start", Fix: "do it in the image's build, or in a one-shot that writes to a volume"},
		{ID: "image-missing", Levels: fail, Elsewhere: true, Finds: "with `--images`: an image that the engine does not have",
			Why: "without a network up cannot start", Fix: "run strake pull while there is a network"},
	}
}

// hostRules are about addresses outside of the project.
func hostRules() []Rule {
	fail, warn, advise := []Level{LevelError}, []Level{LevelWarning}, []Level{LevelAdvice}
	return []Rule{
		{ID: "outside-host", Levels: []Level{LevelWarning, LevelAdvice}, When: "advice in files of configs and mounts", Finds: "a host that is none of the project's, in `environment`, `env_file`, configs and mounted settings",
			Why: "without a network what asks it fails, often after a long wait", Fix: "point it at a service of the project, or ignore it with a reason"},
		{ID: "unknown-host", Levels: advise, Finds: "a host without a dot that no service is called by",
			Why: "no container of the project answers to that name", Fix: "correct it, or give the service that is meant an alias"},
		{ID: "metadata-address", Levels: warn, Finds: "a cloud's metadata address (169.254.169.254, metadata.google.internal)",
			Why: "nothing answers there but on that cloud's machines: what asks it waits", Fix: "leave it out outside of the cloud: AWS_EC2_METADATA_DISABLED=true, NO_GCE_CHECK=true"},
		{ID: "aws-endpoint", Levels: warn, Finds: "variables of an AWS SDK (`AWS_REGION`, `S3_BUCKET`, …) without an endpoint",
			Why: "the SDK asks AWS itself, or the metadata address for credentials", Fix: "set AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_S3) to a service that stands in for AWS"},
		{ID: "healthcheck-outside", Levels: fail, Finds: "a healthcheck that asks a host outside of the project",
			Why: "without a network the service is never healthy, and nothing that waits for it starts", Fix: "ask the service itself: http://localhost:…"},
	}
}

// stackRules are about what ties a stack to a machine, and about what waits and what is sealed.
func stackRules() []Rule {
	warn, advise, refused := []Level{LevelWarning}, []Level{LevelAdvice}, []Level{LevelWarning, LevelError}
	const inPreviews = "error where `x-strake.previews` is written and they have the service"
	return []Rule{
		{ID: "host-network", Levels: refused, When: inPreviews, Finds: "`network_mode: host`, or the network of a container that is not the project's",
			Why: "nothing can keep it from the network, so that offline cannot be proven, and a preview refuses it", Fix: "take network_mode out and publish the ports"},
		{ID: "engine-socket", Levels: refused, When: inPreviews, Finds: "a mount of the engine's socket or of a folder that holds it",
			Why: "who has the socket has the whole machine: offline cannot be proven, and a preview refuses it", Fix: "take the mount out, or keep the service in a profile that previews do not have"},
		{ID: "privileged", Levels: refused, When: inPreviews, Finds: "`privileged: true`",
			Why: "a privileged container has the whole machine, so that offline cannot be proven, and a preview refuses it", Fix: "take it out, and add the one capability that is needed in cap_add"},
		{ID: "external-network", Levels: warn, Finds: "a network that is `external`",
			Why: "it has to be made beforehand on each machine, what else is on it is not known, and a preview has an empty one instead", Fix: "take external out, or bring what is asked on it into the project"},
		{ID: "preview-refused", Levels: refused, When: inPreviews, Finds: "anything else that a preview does not allow",
			Why: "a preview of this file is not opened", Fix: ""},
		{ID: "built-without-image", Levels: []Level{LevelAdvice, LevelWarning}, When: "warning where `x-strake.registry` is written", Finds: "a service with `build` and no `image`",
			Why: "its image is called after the project's name, which is another one in each work tree, so that a registry cannot go by it", Fix: "add image: with the name that it has in the registry"},
		{ID: "no-healthcheck", Levels: warn, Finds: "`condition: service_healthy` on a service whose healthcheck is off, or whose image (postgres, redis, …, or built on such a one) has none",
			Why: "an engine says healthy of a container with a healthcheck only, so that what waits does not start", Fix: "add a healthcheck to it, or wait for service_started"},
		{ID: "seed-inputs", Levels: advise, Finds: "a step of a seed without `x-strake.inputs`",
			Why: "the seed is built anew whenever anything of the step's image changes", Fix: "write the files that its result depends on: x-strake: {inputs: [migrations/**]}"},
		{ID: "unused-ignore", Levels: advise, Finds: "an entry of `x-strake.check.ignore` that ignores nothing",
			Why: "what it was for is gone, and it would hide the next one", Fix: "take it out"},
	}
}
