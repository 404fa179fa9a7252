def ids(dataset):
    return [example["id"] for example in dataset.as_numpy_iterator()]
