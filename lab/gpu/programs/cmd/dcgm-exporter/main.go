// dcgm-exporter stands in for NVIDIA's: /metrics has the listed fields of DCGM with the real one's labels for the GPUs that
// the driver lists, with readings that a test sets by PUT /gpus on a second port; until then they are those of idle GPUs.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"sync"

	"qwen-onprem.lab/gpu/internal/driver"
)

type exporter struct {
	mutex    sync.RWMutex
	gpus     []gpu
	hostname string
	listed   []counter
}

func main() {
	metrics := flag.String("metrics", ":9400", "address of /metrics")
	control := flag.String("control", ":9401", "address of /gpus")
	flag.Parse()

	known, err := driver.GPUs()
	if err != nil {
		log.Fatal(err)
	}
	listed, err := counters()
	if err != nil {
		log.Fatal(err)
	}
	e := &exporter{gpus: idle(known), hostname: hostname(), listed: listed}
	go func() { log.Fatal(http.ListenAndServe(*control, e.control())) }()
	log.Printf("%d GPUs on %s/metrics, set on %s/gpus", len(known), *metrics, *control)
	log.Fatal(http.ListenAndServe(*metrics, e.public()))
}

// hostname is the node's, as the real exporter's DaemonSet passes it.
func hostname() string {
	if name := os.Getenv("NODE_NAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	return name
}

func (e *exporter) public() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		io.WriteString(w, exposition(e.listed, e.readings(), e.hostname))
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "OK\n") })
	return mux
}

func (e *exporter) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gpus", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(e.readings())
	})
	mux.HandleFunc("PUT /gpus", func(w http.ResponseWriter, r *http.Request) {
		gpus, err := parse(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.mutex.Lock()
		defer e.mutex.Unlock()
		e.gpus = gpus
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (e *exporter) readings() []gpu {
	e.mutex.RLock()
	defer e.mutex.RUnlock()
	return e.gpus
}
