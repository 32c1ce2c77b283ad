package compose

// Labels of Docker Compose's protocol. They are what makes a stack visible to `docker compose`, to
// editors and to Docker Desktop, and what strake finds its own things by.
// Source: docker/compose, pkg/api/labels.go.
const (
	LabelProject         = "com.docker.compose.project"
	LabelService         = "com.docker.compose.service"
	LabelConfigHash      = "com.docker.compose.config-hash"
	LabelOneOff          = "com.docker.compose.oneoff" // "True" or "False"
	LabelNumber          = "com.docker.compose.container-number"
	LabelWorkingDir      = "com.docker.compose.project.working_dir"
	LabelConfigFiles     = "com.docker.compose.project.config_files"
	LabelEnvironmentFile = "com.docker.compose.project.environment_file"
	LabelImage           = "com.docker.compose.image" // id of the image that the container was made from
	LabelDependsOn       = "com.docker.compose.depends_on"
	LabelVersion         = "com.docker.compose.version"
	LabelReplace         = "com.docker.compose.replace" // of the container that this one replaced: its name, or service-number where it had no name of its own
	LabelSlug            = "com.docker.compose.slug"    // random part of a one-off's name
	LabelNetwork         = "com.docker.compose.network" // key of the network in the file
	LabelVolume          = "com.docker.compose.volume"  // key of the volume in the file
)

// Labels of strake's own.
const (
	// LabelInputs is on images that strake built: the digest of everything that went into the build.
	LabelInputs = "dev.strake.inputs"
	// LabelClaim is on the claim container of a project; its value is the project's name.
	LabelClaim = "dev.strake.claim"
	// LabelOwner is on the claim container: an Owner as JSON.
	LabelOwner = "dev.strake.owner"
	// LabelCopied is on a container of another machine's engine: the Digest of what was Copied into it.
	LabelCopied = "dev.strake.copied"
	// LabelFilling is on a container that is there while a volume is filled: the volume's name. Where it is left the volume is not whole.
	LabelFilling = "dev.strake.filling"
)
