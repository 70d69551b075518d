"""The networks of the CIFAR zoo, with RepDistiller's names and state-dict keys."""
