package main

import (
	"maps"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type head struct {
	UID         string            `json:"uid"`
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type plainInfo struct {
	head
	Created string `json:"k8s_created_at"`
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

type volume struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Source string `json:"source,omitempty"`
}

type port struct {
	Port     int32  `json:"container_port"`
	Protocol string `json:"protocol,omitempty"`
	Name     string `json:"name,omitempty"`
}

type mount struct {
	Name     string `json:"name"`
	Path     string `json:"mount_path"`
	ReadOnly bool   `json:"read_only"`
}

type resources struct {
	CPURequest    string `json:"cpu_request,omitempty"`
	CPULimit      string `json:"cpu_limit,omitempty"`
	MemoryRequest string `json:"memory_request,omitempty"`
	MemoryLimit   string `json:"memory_limit,omitempty"`
}

type security struct {
	Privileged   *bool             `json:"privileged,omitempty"`
	Root         bool              `json:"run_as_root,omitempty"`
	Capabilities []core.Capability `json:"capabilities,omitempty"`
}

type container struct {
	Name      string    `json:"name"`
	Image     string    `json:"image"`
	State     string    `json:"state,omitempty"`
	Ready     bool      `json:"ready"`
	Restarts  int32     `json:"restart_count"`
	Resources resources `json:"resources"`
	Ports     []port    `json:"ports,omitempty"`
	Mounts    []mount   `json:"volume_mounts,omitempty"`
	Env       []string  `json:"env_var_names,omitempty"`
	Security  *security `json:"security_context,omitempty"`
}

type podInfo struct {
	head
	Node       string      `json:"node_name,omitempty"`
	Account    string      `json:"service_account,omitempty"`
	Phase      string      `json:"phase,omitempty"`
	QoS        string      `json:"qos_class,omitempty"`
	Priority   string      `json:"priority_class_name,omitempty"`
	HostIP     string      `json:"host_ip,omitempty"`
	PodIP      string      `json:"pod_ip,omitempty"`
	Conditions []condition `json:"conditions,omitempty"`
	Containers []container `json:"containers,omitempty"`
	Init       []container `json:"init_containers,omitempty"`
	Volumes    []volume    `json:"volumes,omitempty"`
	Created    string      `json:"k8s_created_at"`
}

func headOf(object metav1.Object) (head, string) {
	notes := maps.Clone(object.GetAnnotations())
	maps.DeleteFunc(notes, func(name, _ string) bool {
		return strings.HasPrefix(name, "kubectl.kubernetes.io/") || strings.HasPrefix(name, "kubernetes.io/")
	})
	return head{string(object.GetUID()), object.GetName(), object.GetNamespace(), object.GetLabels(), notes},
		object.GetCreationTimestamp().UTC().Format("2006-01-02T15:04:05Z")
}

func infoOf(object any, accessor metav1.Object) any {
	top, created := headOf(accessor)
	pod, ok := object.(*core.Pod)
	if !ok {
		return plainInfo{top, created}
	}
	spec, status := &pod.Spec, &pod.Status
	made := podInfo{head: top, Node: spec.NodeName, Account: spec.ServiceAccountName, Phase: string(status.Phase), QoS: string(status.QOSClass),
		Priority: spec.PriorityClassName, HostIP: status.HostIP, PodIP: status.PodIP, Created: created,
		Containers: containersOf(spec.Containers, status.ContainerStatuses), Init: containersOf(spec.InitContainers, status.InitContainerStatuses)}
	for _, one := range status.Conditions {
		made.Conditions = append(made.Conditions, condition{string(one.Type), string(one.Status)})
	}
	for i := range spec.Volumes {
		made.Volumes = append(made.Volumes, volumeOf(&spec.Volumes[i]))
	}
	return made
}

func volumeOf(v *core.Volume) volume {
	switch {
	case v.EmptyDir != nil:
		return volume{v.Name, "emptyDir", ""}
	case v.ConfigMap != nil:
		return volume{v.Name, "configMap", v.ConfigMap.Name}
	case v.Secret != nil:
		return volume{v.Name, "secret", v.Secret.SecretName}
	case v.PersistentVolumeClaim != nil:
		return volume{v.Name, "pvc", v.PersistentVolumeClaim.ClaimName}
	case v.HostPath != nil:
		return volume{v.Name, "hostPath", v.HostPath.Path}
	case v.Projected != nil:
		return volume{v.Name, "projected", ""}
	}
	return volume{v.Name, "unknown", ""}
}

func quantityOf(list core.ResourceList, name core.ResourceName) string {
	if value, ok := list[name]; ok {
		return (*resource.Quantity)(&value).String()
	}
	return ""
}

func containersOf(specs []core.Container, statuses []core.ContainerStatus) []container {
	var all []container
	for i := range specs {
		spec := &specs[i]
		made := container{Name: spec.Name, Image: spec.Image, Security: securityOf(spec.SecurityContext), Resources: resources{
			quantityOf(spec.Resources.Requests, core.ResourceCPU), quantityOf(spec.Resources.Limits, core.ResourceCPU),
			quantityOf(spec.Resources.Requests, core.ResourceMemory), quantityOf(spec.Resources.Limits, core.ResourceMemory)}}
		for j := range statuses {
			if statuses[j].Name == spec.Name {
				made.Ready, made.Restarts, made.State = statuses[j].Ready, statuses[j].RestartCount, stateOf(&statuses[j].State)
			}
		}
		for _, one := range spec.Ports {
			made.Ports = append(made.Ports, port{one.ContainerPort, string(one.Protocol), one.Name})
		}
		for _, one := range spec.VolumeMounts {
			made.Mounts = append(made.Mounts, mount{one.Name, one.MountPath, one.ReadOnly})
		}
		for _, one := range spec.Env {
			made.Env = append(made.Env, one.Name)
		}
		all = append(all, made)
	}
	return all
}

func stateOf(state *core.ContainerState) string {
	switch {
	case state.Running != nil:
		return "running"
	case state.Waiting != nil:
		return "waiting"
	case state.Terminated != nil:
		return "terminated"
	}
	return ""
}

func securityOf(context *core.SecurityContext) *security {
	if context == nil {
		return nil
	}
	root := (context.RunAsUser != nil && *context.RunAsUser == 0) || (context.RunAsNonRoot != nil && !*context.RunAsNonRoot)
	made := &security{Privileged: context.Privileged, Root: root}
	if context.Capabilities != nil {
		made.Capabilities = context.Capabilities.Add
	}
	return made
}
