"""The services of HybridInference, one package each."""
