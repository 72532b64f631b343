// SPDX-License-Identifier: MIT

// Command istioprog says what Istio itself has against the manifests in the files
// given: its own validation, that of its webhook, and besides a mistyped key, which
// Istio lets pass. Objects of other groups are left out. Status 1: a finding.
//
// It takes the validation alone: with the collections of all of Istio's kinds, the
// build is three times as long.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/validation"
	"istio.io/istio/pkg/util/protomarshal"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

type kind struct {
	spec     func() proto.Message
	validate validation.ValidateFunc
}

var kinds = map[string]kind{
	"DestinationRule": {func() proto.Message { return &networking.DestinationRule{} },
		validation.ValidateDestinationRule},
	"Gateway": {func() proto.Message { return &networking.Gateway{} },
		validation.ValidateGateway},
	"ServiceEntry": {func() proto.Message { return &networking.ServiceEntry{} },
		validation.ValidateServiceEntry},
	"Sidecar": {func() proto.Message { return &networking.Sidecar{} },
		validation.ValidateSidecar},
	"VirtualService": {func() proto.Message { return &networking.VirtualService{} },
		validation.ValidateVirtualService},
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec json.RawMessage `json:"spec"`
}

// The findings on one object, and whether it is Istio's.
func check(text []byte) ([]string, bool) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return []string{err.Error()}, false
	}
	group, version, _ := strings.Cut(o.APIVersion, "/")
	if !strings.HasSuffix(group, ".istio.io") {
		return nil, false
	}
	name := o.Kind + "/" + o.Metadata.Name + ": "
	k, found := kinds[o.Kind]
	if !found || group != "networking.istio.io" {
		return []string{name + "istioprog knows no such kind"}, true
	}
	spec := k.spec()
	if err := protomarshal.ApplyJSONStrict(string(o.Spec), spec); err != nil {
		return []string{name + err.Error()}, true
	}
	warning, err := k.validate(config.Config{
		Meta: config.Meta{
			GroupVersionKind: config.FromKubernetesGVK(
				schema.GroupVersionKind{Group: group, Version: version, Kind: o.Kind}),
			Name:        o.Metadata.Name,
			Namespace:   o.Metadata.Namespace,
			Labels:      o.Metadata.Labels,
			Annotations: o.Metadata.Annotations,
		},
		Spec: spec,
	})
	var all []string
	if warning != nil {
		all = append(all, name+"warning: "+warning.Error())
	}
	if err != nil {
		all = append(all, name+err.Error())
	}
	return all, true
}

func main() {
	objects, findings := 0, 0
	report := func(path string, all ...string) {
		findings += len(all)
		for _, line := range all {
			fmt.Printf("%s: %s\n", path, line)
		}
	}
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			report(path, err.Error())
			continue
		}
		documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				document, err = yaml.ToJSON(document)
			}
			if err != nil {
				report(path, err.Error())
				break
			}
			all, ours := check(document)
			report(path, all...)
			if ours {
				objects++
			}
		}
	}
	fmt.Printf("%d objects of Istio, %d findings\n", objects, findings)
	if findings > 0 {
		os.Exit(1)
	}
}
