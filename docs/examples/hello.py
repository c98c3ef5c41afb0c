import platform
import sys

print("Hello from", platform.python_implementation(), "in a box")
print("arguments:", sys.argv[1:])
