package compose

// Support is what strake does with an attribute of the Compose specification.
type Support string

// What strake does with an attribute.
const (
	Supported Support = "supported"
	// Ignored is accepted with a warning: Docker Compose does not honour it either, and people's files have it.
	Ignored Support = "ignored"
	// Refused is an error at Load, before anything runs.
	Refused Support = "refused"
)

// supportedText lists what is supported below a path: names, with what is below them in braces. `*` is any key, `[]` an entry of
// a list; keys that the user makes up (`environment.*`) come with their parent. @1.44 is the least Engine API.
type supportedText struct{ below, names string }

// supportedTexts is what strake supports. An attribute that a later specification brings is not in it, and so refused.
func supportedTexts() []supportedText {
	return []supportedText{
		{"", `name version services.* networks.* volumes.* configs.* secrets.*
			include.[]{path project_directory env_file}`},
		{"services.*", containerAttributes},
		{"services.*", serviceAttributes},
		{"services.*.build", buildAttributes},
		{"services.*.pre_start.[]", containerAttributes + " per_replica"},
		{"networks.*", `name driver driver_opts internal attachable enable_ipv4@1.47 enable_ipv6 labels external{name}
			ipam{driver config.[]{subnet gateway ip_range aux_addresses}}`},
		{"volumes.*", `name driver driver_opts labels external{name}`},
		{"configs.*", `name file content environment`},
		{"secrets.*", `name file environment`},
	}
}

// containerAttributes are those of everything that becomes a container: a service and a pre_start hook.
const containerAttributes = `
	annotations@1.43 cap_add cap_drop cgroup cgroup_parent command configs.[]{source target uid gid mode}
	blkio_config{weight weight_device.[]{path weight} device_read_bps.[]{path rate} device_read_iops.[]{path rate}
		device_write_bps.[]{path rate} device_write_iops.[]{path rate}}
	cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset
	device_cgroup_rules devices.[]{source target permissions} dns dns_opt dns_search domainname
	entrypoint env_file.[]{path required format} environment extra_hosts
	gpus.[]{driver count device_ids capabilities options} group_add hostname image init ipc isolation label_file labels
	logging{driver options} mac_address mem_limit mem_reservation mem_swappiness memswap_limit network_mode
	networks.*{aliases driver_opts gw_priority@1.48 interface_name@1.49 ipv4_address ipv6_address link_local_ips
		mac_address@1.44 priority use_service_name_alias}
	oom_kill_disable oom_score_adj pid pids_limit platform privileged pull_policy read_only runtime
	secrets.[]{source target uid gid mode} security_opt shm_size stop_grace_period stop_signal storage_opt sysctls
	tmpfs ulimits.*{hard soft} user userns_mode uts
	volumes.[]{type source target read_only consistency bind{propagation create_host_path recursive@1.44 selinux}
		volume{nocopy labels subpath@1.45} tmpfs{size mode} image@1.48{subpath@1.48}}
	volumes_from working_dir`

// serviceAttributes are those that only a service has.
const serviceAttributes = `
	build container_name depends_on.*{condition required restart}
	deploy{replicas restart_policy{condition max_attempts}
		resources{limits{cpus memory pids} reservations{memory devices.[]{driver count device_ids capabilities options}}}}
	develop.watch.[]{action path target ignore include initial_sync exec{command user privileged working_dir environment}}
	expose extends{service file} external_links healthcheck{disable interval retries start_interval@1.44 start_period test timeout}
	links ports.[]{app_protocol host_ip mode name protocol published target}
	post_start.[]{command user privileged working_dir environment} pre_start pre_stop.[]{command user privileged working_dir environment}
	profiles restart scale stdin_open tty`

// buildAttributes are those of a build. What of them the engine's BuildKit lacks is refused by name when it is built.
const buildAttributes = `
	additional_contexts args cache_from cache_to context dockerfile dockerfile_inline entitlements extra_hosts isolation labels
	network no_cache no_cache_filter platforms privileged provenance pull sbom secrets.[]{source target uid gid mode}
	shm_size ssh tags target ulimits.*{hard soft}`

// supportedNotes say of supported attributes what is not plain. What an older engine lacks is
// refused by name, also where Docker Compose 2.40.3 drops it without a word: annotations, subpath, gw_priority, enable_ipv4: false.
func supportedNotes() map[string]string {
	return map[string]string{
		"services.*.networks.*.mac_address": "on older engines the main network's only, for the container as a whole",
		"networks.*.enable_ipv4":            "false only: true is what older engines do",
		"services.*.secrets.[].uid":         "of secrets that are files: ignored, they are mounted as they are",
		"services.*.secrets.[].gid":         "of secrets that are files: ignored, they are mounted as they are",
		"services.*.secrets.[].mode":        "of secrets that are files: ignored, they are mounted as they are",
		"services.*.configs.[].uid":         "of configs that are files: ignored, they are mounted as they are",
		"services.*.configs.[].gid":         "of configs that are files: ignored, they are mounted as they are",
		"services.*.configs.[].mode":        "of configs that are files: ignored, they are mounted as they are",
		"services.*.build.privileged":       "if the engine's BuildKit allows it",
		"services.*.build.platforms":        "all by strake build where images are kept in containerd; else, and by up, the engine's own",
		"include":                           "local files; git and OCI are refused",
		"version":                           "obsolete, without effect",
	}
}

// notSupported are the paths, with all that is below them, that are not supported, and what strake does instead.
func notSupported() []Attribute {
	return []Attribute{
		{Path: "services.*.provider", Support: Refused, Note: "a service that another program provides cannot be launched on an engine; run that program beforehand"},
		{Path: "services.*.models", Support: Refused, Note: "models need the Docker Model Runner; run the model as a service and give its URL in environment"},
		{Path: "services.*.pre_start.[].models", Support: Refused, Note: "models need the Docker Model Runner; run the model as a service and give its URL in environment"},
		{Path: "models", Support: Refused, Note: "models need the Docker Model Runner; run the model as a service"},
		{Path: "services.*.use_api_socket", Support: Refused, Note: "it hands the engine and your registry credentials to a container; mount /var/run/docker.sock if that is wanted"},
		{Path: "services.*.pre_start.[].use_api_socket", Support: Refused, Note: "it hands the engine and your registry credentials to a container; mount /var/run/docker.sock if that is wanted"},
		{Path: "services.*.umask", Support: Refused, Note: "it needs Engine API 1.56; call umask in the entrypoint"},
		{Path: "services.*.pre_start.[].umask", Support: Refused, Note: "it needs Engine API 1.56; call umask in the command"},
		{Path: "services.*.credential_spec", Support: Refused, Note: "it is for Windows containers"},
		{Path: "services.*.pre_start.[].credential_spec", Support: Refused, Note: "it is for Windows containers"},
		{Path: "jobs", Support: Refused, Note: "jobs are not launched yet; write it as a service with a profile and start it with strake run"},

		{Path: "services.*.attach", Support: Ignored, Note: "`up` returns when it is ready; `logs` takes the services' names"},
		{Path: "networks.*.ipam.options", Support: Ignored, Note: "Docker Compose 2.40.3 does not pass them on either; driver_opts are passed on"},
		{Path: "services.*.deploy.mode", Support: Ignored, Note: "it is for Swarm; replicas counts the containers"},
		{Path: "services.*.deploy.labels", Support: Ignored, Note: "they are for Swarm; labels of the service are set on its containers"},
		{Path: "services.*.deploy.endpoint_mode", Support: Ignored, Note: "it is for Swarm"},
		{Path: "services.*.deploy.placement", Support: Ignored, Note: "it is for Swarm: there is one host"},
		{Path: "services.*.deploy.update_config", Support: Ignored, Note: "it is for Swarm"},
		{Path: "services.*.deploy.rollback_config", Support: Ignored, Note: "it is for Swarm"},
		{Path: "services.*.deploy.restart_policy.delay", Support: Ignored, Note: "the engine chooses the delay"},
		{Path: "services.*.deploy.restart_policy.window", Support: Ignored, Note: "the engine chooses the window"},
		{Path: "services.*.deploy.resources.reservations.cpus", Support: Ignored, Note: "an engine does not reserve CPUs; cpu_shares weighs them"},
		{Path: "services.*.deploy.resources.reservations.generic_resources", Support: Ignored, Note: "they are for Swarm"},
		{Path: "services.*.pull_refresh_after", Support: Ignored, Note: "write pull_policy: every_<duration>"},
		{Path: "services.*.pre_start.[].pull_refresh_after", Support: Ignored, Note: "write pull_policy: every_<duration>"},
		{Path: "configs.*.labels", Support: Ignored, Note: "they are for Swarm"},
		{Path: "configs.*.template_driver", Support: Ignored, Note: "it is for Swarm"},
		{Path: "secrets.*.labels", Support: Ignored, Note: "they are for Swarm"},
		{Path: "secrets.*.driver", Support: Ignored, Note: "it is for Swarm"},
		{Path: "secrets.*.driver_opts", Support: Ignored, Note: "they are for Swarm"},
		{Path: "secrets.*.template_driver", Support: Ignored, Note: "it is for Swarm"},
		{Path: "configs.*.external", Support: Refused, Note: "external configs are for Swarm; give its file, content or environment"},
		{Path: "secrets.*.external", Support: Refused, Note: "external secrets are for Swarm; give its file or environment"},
	}
}

// values are single values of supported attributes that are not supported.
func values() []valueRule {
	return []valueRule{
		{Attribute{Path: "services.*.isolation", Support: Refused, Note: "it is for Windows containers"}, "process, hyperv", is("process", "hyperv")},
		{Attribute{Path: "services.*.pre_start.[].isolation", Support: Refused, Note: "it is for Windows containers"}, "process, hyperv", is("process", "hyperv")},
		{Attribute{Path: "services.*.build.isolation", Support: Refused, Note: "it is for Windows containers"}, "process, hyperv", is("process", "hyperv")},
		{Attribute{Path: "services.*.ports.[].mode", Support: Ignored, Note: "it is for Swarm: the port is published on the one host there is"}, "host", is("host")},
		{Attribute{Path: "services.*.volumes.[].type", Support: Refused, Note: "cluster volumes are for Swarm and npipe is for Windows containers"}, "cluster, npipe", is("cluster", "npipe")},
		{Attribute{Path: "services.*.pre_start.[].volumes.[].type", Support: Refused, Note: "cluster volumes are for Swarm and npipe is for Windows containers"}, "cluster, npipe", is("cluster", "npipe")},
	}
}
