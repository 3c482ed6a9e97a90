# A bitsandbytes that cannot be used, as one without its CUDA libraries.
raise ImportError("libcudart.so.13: cannot open shared object file")
