package main

// What each kind looks like on the wire (ingest.md section 3), in the order of a snapshot (4.2). A shape is a list of
// name:type; "?" after a name: left out when empty; "~": may be left out, and may be there and empty.
// Types: s string, i integer, b boolean, T true, F false, t time, q quantity, m map of strings, l list of strings,
// L the same in byte order without a string twice, R in byte order, [shape] list of objects, {shape} object,
// =NAME a shape of the table `parts`.

type kindRow struct {
	kind, key  string
	namespaced bool
	shape      string
}

var parts = map[string]string{
	"container": `name:s image:s state?:s ready:b restart_count:i resources:{cpu_request?:q cpu_limit?:q memory_request?:q memory_limit?:q}
		ports?:[container_port:i protocol?:s name?:s] volume_mounts?:[name:s mount_path:s read_only:b] env_var_names?:l
		security_context~:{privileged~:b run_as_root?:T capabilities?:l}`,
	"head":      `uid:s name:s namespace:s labels?:m annotations?:m`,
	"headless":  `uid:s name:s labels?:m annotations?:m`,
	"role":      `rule_count:i resources:L k8s_created_at:t`,
	"binding":   `role_ref:{kind:s name:s} subjects?:[kind:s name:s namespace?:s] k8s_created_at:t`,
	"templated": `selector?:m image?:s k8s_created_at:t`,
}

var kinds = []kindRow{
	{"Namespace", "namespaces", false, `=headless phase?:s k8s_created_at:t`},
	{"Pod", "pods", true, `=head node_name?:s service_account?:s phase?:s qos_class?:s priority_class_name?:s host_ip?:s pod_ip?:s
		conditions?:[type:s status:s] containers?:[=container] init_containers?:[=container]
		volumes?:[name:s type:s source?:s] k8s_created_at:t`},
	{"Service", "services", true, `=head service_type?:s cluster_ip?:s ports?:[name?:s protocol:s port:i targetPort?:s]
		selector?:m k8s_created_at:t`},
	{"Node", "nodes", false, `=headless status:s roles?:R kubelet_version?:s container_runtime?:s os_image?:s architecture?:s
		cpu_capacity:q memory_capacity:q pod_capacity:q k8s_created_at:t`},
	{"Deployment", "deployments", true, `=head replicas:i ready_replicas:i available_replicas:i updated_replicas:i strategy?:s =templated`},
	{"StatefulSet", "statefulsets", true, `=head replicas:i ready_replicas:i current_replicas:i update_strategy?:s service_name?:s =templated`},
	{"DaemonSet", "daemonsets", true, `=head desired_number_scheduled:i current_number_scheduled:i number_ready:i number_available:i
		update_strategy?:s selector?:m node_selector?:m image?:s k8s_created_at:t`},
	{"Job", "jobs", true, `=head completions:i parallelism:i succeeded:i failed:i active:i start_time?:t completion_time?:t
		owner_ref?:s k8s_created_at:t`},
	{"CronJob", "cronjobs", true, `=head schedule:s suspend:b concurrency_policy?:s last_schedule_time?:t active_jobs:i k8s_created_at:t`},
	{"Ingress", "ingresses", true, `=head ingress_class_name?:s
		rules?:[host?:s paths?:[path?:s path_type?:s service_name?:s service_port?:i]] tls?:[hosts?:l secret_name?:s]
		load_balancer_ips?:l k8s_created_at:t`},
	{"NetworkPolicy", "network_policies", true, `=head pod_selector?:m policy_types?:l ingress_rules:i egress_rules:i k8s_created_at:t`},
	{"ConfigMap", "configmaps", true, `=head data_keys?:L binary_keys?:L immutable:b k8s_created_at:t`},
	{"Secret", "secrets", true, `=head type?:s data_keys?:L immutable:b k8s_created_at:t`},
	{"PersistentVolumeClaim", "pvcs", true, `=head storage_class_name?:s access_modes?:l storage_request?:q volume_name?:s phase?:s
		volume_mode?:s k8s_created_at:t`},
	{"ServiceAccount", "service_accounts", true, `=head secrets?:l image_pull_secrets?:l automount_service_account_token~:b k8s_created_at:t`},
	{"Role", "roles", true, `=head is_cluster:F =role`},
	{"ClusterRole", "cluster_roles", false, `=headless is_cluster:T =role`},
	{"RoleBinding", "role_bindings", true, `=head is_cluster:F =binding`},
	{"ClusterRoleBinding", "cluster_role_bindings", false, `=headless is_cluster:T =binding`},
	{"Event", "events", true, `uid:s name:s namespace:s type:s reason:s message:s involved_object:{kind:s name:s namespace?:s uid?:s}
		source:{component?:s host?:s} first_timestamp?:t last_timestamp?:t count:i k8s_created_at:t`},
}

const kindsMax = 20

func kindOf(name string) *kindRow {
	for i := range kinds {
		if kinds[i].kind == name {
			return &kinds[i]
		}
	}
	return nil
}

var shapes = func() map[string][]field {
	all := map[string][]field{}
	for _, row := range kinds {
		all[row.kind] = compile(row.shape)
	}
	all["heartbeat"] = compile(`cluster_uid:s agent_version?:s`)
	all["event"] = compile(`cluster_uid:s type:s kind:s uid:s name:s namespace?:s object~:o`)
	envelope := `cluster_uid:s cluster_name:s kubernetes_version?:s platform?:s region?:s agent_version?:s`
	for _, row := range kinds {
		envelope += " " + row.key + ":a"
	}
	all["snapshot"] = compile(envelope)
	return all
}()
