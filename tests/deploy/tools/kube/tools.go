// SPDX-License-Identifier: MIT

//go:build tools

// The API server and kubectl that the long tests run: a main module of its own,
// since the one of k8s.io/kubernetes points at folders that no module has.
package kube

import (
	_ "k8s.io/kubectl/pkg/cmd"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
