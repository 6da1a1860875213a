# Every command runs in an environment that the set-up makes from a lock: nothing needs to be installed by hand.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SETUP = $(PYTHON) -m services.cli.setup
# Looked up when a recipe runs, after `dev-environment` has made it.
DEV = $$($(SETUP) python dev)
BIN = $$(dirname $(DEV))
export PYTHONPATH := .:gen

.DEFAULT_GOAL := help
.PHONY: help setup up demo down dev-environment debian-postgres test test-fast test-clients test-ops providers metrics config-schema protos check-protos openapi googleapis contracts buf protos-release lint types imports lock clean bench bench-short bench-check

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

setup:  ## Make the mesh, the engine and the model ready.
	$(SETUP) mesh engine model

up: setup  ## Start everything; ARGS goes to `hybrid up`.
	bin/hybrid up $(ARGS)

demo:  ## Show the mesh at work without an engine; ARGS goes to `hybrid demo`.
	$(SETUP) mesh
	bin/hybrid demo $(ARGS)

down:  ## Stop what `make up` left running.
	bin/hybrid down $(ARGS)

dev-environment:
	@$(SETUP) dev >/dev/null

NOT_SLOW = not slow and not engine and not edge and not clients and not ops

# Two files at once; the others measure, or run whole meshes, and want the machine for themselves.
FAST = $(DEV) -m pytest -m "$(NOT_SLOW)" --numprocesses 2 --dist loadfile

# Where it cannot be installed all tests run that do not need it, and those that do fail.
debian-postgres:
	-tests/debian-postgres

test: dev-environment debian-postgres  ## Run all tests: the fast ones, then those with processes, Envoy and the engine.
	$(SETUP) mesh engine model embedding-model
	$(FAST) $(ARGS)
	$(DEV) -m pytest -m "not ($(NOT_SLOW)) and not clients and not ops" $(ARGS)

test-fast: dev-environment debian-postgres  ## Run the tests that need no engine, no Envoy and little time.
	$(FAST) $(ARGS)

# What npm installs, again once its lock is newer.
NODE_MODULES = $(patsubst %,%/node_modules/.package-lock.json,tests/clients examples/node examples/browser)
%/node_modules/.package-lock.json: %/package-lock.json
	npm ci --no-progress --prefix $*

test-clients: contracts  ## Run the tests against programs by others, and examples/: from PyPI and npm by locks, and from Debian.
	$(SETUP) mesh clients
	tests/clients/debian
	$(MAKE) --no-print-directory -j3 $(NODE_MODULES)
	$$($(SETUP) python clients) -m pytest tests/clients -m clients $(ARGS)

test-ops: dev-environment debian-postgres  ## Run the tests that need Debian's Prometheus, Alertmanager and Chromium, systemd, or root.
	$(SETUP) mesh engine model
	tests/ops/debian
	$(DEV) -m pytest tests/ops -m ops $(ARGS)

# Peers get environments of their own on the way, by their locks. What cannot be had or started is said, and left out.
bench: dev-environment  ## Measure everything: the mesh beside its peers, both paths, and as it grows; hours of a quiet machine.
	$(SETUP) engine model
	$(DEV) -m benchmarks.remote $(ARGS)
	$(DEV) -m benchmarks.local
	$(DEV) -m benchmarks.scale
	$(DEV) -m benchmarks

bench-short: dev-environment  ## Measure the mesh beside its peers on the remote path, in a few minutes: one round of short windows.
	$(DEV) -m benchmarks.remote --short $(ARGS)

bench-check: dev-environment  ## Fail where a request or a token has become more than 15 % dearer than the baseline.
	$(DEV) -m benchmarks.regression $(ARGS)

providers: dev-environment  ## Write docs/providers.md out of the contract suite.
	$(DEV) -m tests.contract.matrix

metrics: dev-environment  ## Write docs/metrics.md out of the declarations in the code.
	$(DEV) -m tests.metrics.register

config-schema: dev-environment  ## Write infrastructure/config/schema.json, for editors, out of the configuration's model.
	$(DEV) -m services.cli config schema > infrastructure/config/schema.new
	mv infrastructure/config/schema.new infrastructure/config/schema.json

GEN ?= gen

protos: dev-environment  ## Rebuild gen/ from protos/.
	@rm -rf $(GEN) && mkdir -p $(GEN)
	@python=$(DEV); PATH=$$(dirname $$python):$$PATH; \
	common=$$($$python -c 'import pathlib, google.rpc.status_pb2 as m; print(pathlib.Path(m.__file__).parents[2])'); \
	$$python -m grpc_tools.protoc -Iprotos -I$$common --python_out=$(GEN) --pyi_out=$(GEN) $$(find protos -name '*.proto' | sort); \
	$$python -m grpc_tools.protoc -Iprotos -I$$common --grpc_python_out=$(GEN) --mypy_grpc_out=$(GEN) $$(find protos -name '*_service.proto' | sort)

check-protos:  ## Check that gen/ is what protos/ generates.
	@rm -rf build/gen
	@$(MAKE) --no-print-directory protos GEN=build/gen
	diff -r -x __pycache__ build/gen gen

openapi: dev-environment  ## Write the OpenAPI document of both faces out of contracts and codecs.
	@mkdir -p build
	@python=$(DEV); common=$$($$python -c 'import pathlib, google.rpc.status_pb2 as m; print(pathlib.Path(m.__file__).parents[2])'); \
	$$python -m grpc_tools.protoc -Iprotos -I$$common --include_source_info --descriptor_set_out=build/openapi.binpb $$(find protos -name '*.proto' | sort); \
	$$python -m services.gateway.openapi build/openapi.binpb infrastructure/envoy/openapi.json

googleapis: dev-environment
	@rm -rf build/googleapis && mkdir -p build/googleapis/google
	@common=$$($(DEV) -c 'import pathlib, google.rpc.status_pb2 as m; print(pathlib.Path(m.__file__).parents[1])'); \
	for area in api rpc; do (cd $$common && find $$area -name '*.proto' -exec cp --parents {} $(CURDIR)/build/googleapis/google \;); done

contracts: googleapis  ## Write build/contracts: the image and the .proto files that clients in any language are generated from.
	@rm -rf build/contracts && mkdir -p build/contracts
	$(BIN)/buf build -o build/contracts/hybridinference.binpb
	$(BIN)/buf export . -o build/contracts/protos

buf: googleapis  ## Lint the contracts, check their format, and that they break nothing that was released.
	$(BIN)/buf lint
	$(BIN)/buf format protos --diff --exit-code
	@if [ -e protos/released.binpb ]; then set -x; $(BIN)/buf breaking protos --against protos/released.binpb; \
	else echo "nothing is released yet: make protos-release"; fi

protos-release: googleapis  ## Take the contracts as they are as the released ones.
	$(BIN)/buf build protos --exclude-source-info -o protos/released.binpb

lint: dev-environment  ## Check style and format.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: dev-environment  ## Check types.
	$(BIN)/mypy

imports: dev-environment  ## Check who imports whom.
	$(BIN)/lint-imports

lock: dev-environment  ## Regenerate the locks; ARGS=--upgrade takes newer versions.
	requirements/lock $(BIN)/uv $(ARGS)

clean:  ## Remove what the checks and builds leave behind; the shared cache stays.
	rm -rf examples/*/build examples/*/generated examples/*/site $(dir $(NODE_MODULES))
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find services gen tests -name __pycache__ -type d -prune -exec rm -rf {} +
