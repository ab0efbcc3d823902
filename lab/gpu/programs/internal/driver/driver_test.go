package driver

import (
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

func TestAContainerWithoutTheDriverIsToldWhatItLacks(t *testing.T) {
	_, err := GPUs(nvml.WithLibraryPath("/nowhere/libnvidia-ml.so.1"))
	if err == nil || !strings.Contains(err.Error(), "runtime class") {
		t.Fatalf("error %v", err)
	}
}
